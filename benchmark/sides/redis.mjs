// A real redis-server of the benchmark's own.

export { startRedis } from '../../__test__/support/redis.mjs'
