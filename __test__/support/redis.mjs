/**
 * Real Redis servers on free ports of loopback: one, a cluster, or a primary with replicas and sentinels. Each has a
 * temporary directory of its own. Whatever becomes of this process, they and their directories go with it.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { freePort } from './ports.mjs'
import { waitUntil } from './waiting.mjs'

const MISSING = '`redis-server` cannot be started; install it (Debian: `apt-get install redis-server`)'

/**
 * Starts and kills a server as its child, line by line of its input, and says the server's process id. The end of the
 * input, which comes also when who started this is gone, ends the server and removes its directory.
 */
const KEEPER = `
end() {
  [ -z "$server" ] || { kill -9 "$server"; wait "$server"; }
  server=
}
while read -r order; do
  end
  [ "$order" = kill ] || { "$@" >&2 & server=$!; }
  echo "$server"
done
end
rm -rf "$0"
`

/** Nothing is kept on disk, and replicas need not wait for each other. */
const STANDARD = ['--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0']

/** One server. */
class RedisServer {
  #keeper
  #lines
  #directory = mkdtempSync(join(tmpdir(), 'ip-risk-redis-'))
  /** @type {number | undefined} */
  #pid

  /**
   * @param {number} port
   * @param {string[]} words of the command line
   * @param {string[]} configuration lines of it
   */
  constructor(port, words, configuration = []) {
    this.port = port
    this.url = `redis://127.0.0.1:${port}`
    /** What a checker is given as `redis`. */
    this.options = this.url
    // Sentinels and nodes of a cluster write into their configuration, and into their directory.
    const place = [`port ${port}`, 'bind 127.0.0.1', `dir ${this.#directory}`, 'logfile redis.log']
    const file = join(this.#directory, 'redis.conf')
    writeFileSync(file, [...place, ...configuration, ''].join('\n'))
    // Detached, because what ends the group of this process must not end the keeper before it has cleaned up.
    this.#keeper = spawn('sh', ['-c', KEEPER, this.#directory, 'redis-server', file, ...words], {
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    this.#lines = createInterface(this.#keeper.stdout)
    this.#hold(false)
  }

  /** The server's process id, while it runs. */
  get pid() {
    return this.#pid
  }

  /** Starts it, again on the same port and with an empty memory after it was killed; resolves when it answers. */
  async start() {
    await this.#order('start')
    await this.#started()
  }

  /** Ends it as a crash does. */
  async kill() {
    await this.#order('kill')
  }

  /** Kills it and starts it again, with an empty memory. */
  async restart() {
    await this.kill()
    await this.start()
  }

  /** @param {'start' | 'kill'} word */
  async #order(word) {
    this.#hold(true)
    this.#keeper.stdin.write(`${word}\n`)
    const [pid] = await once(this.#lines, 'line')
    // After a kill there is none; 0 would mean this process and its group.
    this.#pid = Number(pid) || undefined
    this.#hold(false)
  }

  /** Only what is waited for keeps this process alive: a test that fails before it closes everything still ends. */
  #hold(isWaitedFor) {
    const { stdin, stdout } = this.#keeper
    for (const handle of [this.#keeper, stdin, stdout]) handle[isWaitedFor ? 'ref' : 'unref']()
  }

  async #started() {
    try {
      await waitUntil(`the server on port ${this.port} answers`, () => this.answers())
    } catch (error) {
      const log = readFileSync(join(this.#directory, 'redis.log'), 'utf8')
      throw new Error(`${error.message}; its log ends with: ${log.slice(-500)}`, { cause: error })
    }
  }

  /** Stops it in the middle of what it does. Connections stay open and are taken, and nothing is answered. */
  pause() {
    process.kill(this.#pid, 'SIGSTOP')
  }

  resume() {
    process.kill(this.#pid, 'SIGCONT')
  }

  async close() {
    const { exitCode, signalCode, stdin } = this.#keeper
    if (exitCode !== null || signalCode !== null) return
    this.#hold(true)
    const ended = once(this.#keeper, 'exit')
    stdin.end()
    await ended
  }

  /**
   * Runs one command on a connection of its own, and returns the answer.
   *
   * @param {string} name
   * @param {...(string | number)} words
   */
  async command(name, ...words) {
    const client = new Redis(this.port, '127.0.0.1', {
      lazyConnect: true,
      connectTimeout: 1_000,
      commandTimeout: 1_000,
      // It waits so long also for what was never connected.
      disconnectTimeout: 50,
      enableReadyCheck: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    })
    // The command rejects; without a listener the client would write to the console as well.
    client.on('error', () => {})
    try {
      return await client.call(name, ...words)
    } finally {
      client.disconnect()
    }
  }

  async answers() {
    try {
      return (await this.command('PING')) === 'PONG'
    } catch {
      return false
    }
  }

  /**
   * Whether what `INFO` or `CLUSTER INFO` says holds every one of these texts.
   *
   * @param {string[]} command
   * @param {...string} texts
   */
  async says(command, ...texts) {
    const info = await this.command(...command)
    return texts.every((text) => info.includes(text))
  }
}

/**
 * One server, with these options of the command line beside, such as `--maxmemory`, `1mb`.
 *
 * @param {...string} options
 */
export async function startRedis(...options) {
  requireRedis()
  return startServer(options)
}

function requireRedis() {
  if (spawnSync('redis-server', ['--version']).error !== undefined) throw new Error(MISSING)
}

async function startServer(options) {
  const server = new RedisServer(await freePort(), [...STANDARD, ...options])
  await server.start()
  return server
}

/** What a group of servers has in common. */
class Servers {
  /** @param {RedisServer[]} all */
  constructor(all) {
    this.all = all
  }

  async close() {
    await Promise.all(this.all.map((server) => server.close()))
  }
}

const SLOTS = 16_384
const PRIMARIES = 3

/** Three primaries, each with a replica. `options` is what a checker is given as `redis`. */
class Cluster extends Servers {
  /** The first three were made primaries, the others their replicas in the same order. */
  get primaries() {
    return this.all.slice(0, PRIMARIES)
  }

  get replicas() {
    return this.all.slice(PRIMARIES)
  }

  get options() {
    return { urls: [this.all[0].url, this.all.at(-1).url], cluster: true }
  }

  /**
   * Which of the three primaries was made the owner of a key.
   *
   * @param {string} key
   */
  async primaryOf(key) {
    const slot = await this.replicas[0].command('CLUSTER', 'KEYSLOT', key)
    return this.primaries[Math.floor((slot * PRIMARIES) / SLOTS)]
  }

  /** Resolves when every node says so of the cluster. */
  async agree(...texts) {
    const agrees = (node) => node.says(['CLUSTER', 'INFO'], ...texts)
    await waitUntil('the cluster has formed', async () =>
      (await Promise.all(this.all.map(agrees))).every(Boolean),
    )
  }
}

/** @param {{ nodeTimeoutMs?: number }} [settings] after how long without an answer a node is taken for dead */
export async function startCluster({ nodeTimeoutMs = 600 } = {}) {
  requireRedis()
  const timeout = ['--cluster-node-timeout', `${nodeTimeoutMs}`, '--repl-timeout', '2']
  const options = ['--cluster-enabled', 'yes', '--cluster-replica-validity-factor', '0', ...timeout]
  const nodes = await Promise.all(Array.from({ length: 2 * PRIMARIES }, () => startServer(options)))
  const cluster = new Cluster(nodes)
  await shareSlots(cluster)
  for (const node of nodes.slice(1)) await node.command('CLUSTER', 'MEET', '127.0.0.1', nodes[0].port)
  await cluster.agree(`cluster_known_nodes:${nodes.length}`)
  await Promise.all(cluster.replicas.map((replica, place) => follow(replica, cluster.primaries[place])))
  await cluster.agree('cluster_state:ok')
  await inStep(cluster.replicas)
  return cluster
}

async function shareSlots(cluster) {
  for (const [place, primary] of cluster.primaries.entries()) {
    const first = Math.ceil((place * SLOTS) / PRIMARIES)
    const last = Math.ceil(((place + 1) * SLOTS) / PRIMARIES) - 1
    await primary.command('CLUSTER', 'ADDSLOTSRANGE', first, last)
  }
}

async function follow(replica, primary) {
  const id = await primary.command('CLUSTER', 'MYID')
  await waitUntil('the replica knows its primary', () => replica.says(['CLUSTER', 'NODES'], id))
  await replica.command('CLUSTER', 'REPLICATE', id)
}

async function inStep(replicas) {
  const isInStep = (replica) => replica.says(['INFO', 'replication'], 'master_link_status:up')
  const areInStep = async () => (await Promise.all(replicas.map(isInStep))).every(Boolean)
  await waitUntil('the replicas are in step', areInStep)
}

/** A primary, two replicas and three sentinels. `options` is what a checker is given as `redis`. */
class SentinelTrio extends Servers {
  /**
   * @param {RedisServer} primary
   * @param {RedisServer[]} replicas
   * @param {RedisServer[]} sentinels
   */
  constructor(primary, replicas, sentinels) {
    super([primary, ...replicas, ...sentinels])
    Object.assign(this, { primary, replicas, sentinels })
  }

  get options() {
    return { sentinel: { master: 'main', urls: this.sentinels.map(({ url }) => url) } }
  }
}

/** @param {{ downAfterMs?: number }} [settings] after how long without an answer a primary is taken for dead */
export async function startSentinelTrio({ downAfterMs = 500 } = {}) {
  const primary = await startRedis()
  const replicaOf = ['--replicaof', `127.0.0.1 ${primary.port}`]
  const replicas = await Promise.all([startServer(replicaOf), startServer(replicaOf)])
  await inStep(replicas)
  const sentinels = await Promise.all(Array.from({ length: 3 }, () => startSentinel(primary, downAfterMs)))
  const knows = (sentinel) => sentinel.says(['INFO', 'sentinel'], 'slaves=2', 'sentinels=3', 'status=ok')
  const know = async () => (await Promise.all(sentinels.map(knows))).every(Boolean)
  await waitUntil('the sentinels know each other', know)
  return new SentinelTrio(primary, replicas, sentinels)
}

async function startSentinel(primary, downAfterMs) {
  const sentinel = new RedisServer(
    await freePort(),
    ['--sentinel'],
    [
      `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
      `sentinel down-after-milliseconds main ${downAfterMs}`,
      'sentinel failover-timeout main 3000',
    ],
  )
  await sentinel.start()
  return sentinel
}
