/** What each fault that ends in no good answer looks like from outside; `check` gets answer or error. */
import assert from 'node:assert/strict'
import { gunzipSync } from 'node:zlib'
import { assertMessage } from './mock-api.mjs'

export const WIRE_FAULTS = {
  'close-before-headers': ({ error }) => assert.equal(error.message, 'socket hang up'),
  reset: ({ error }) => assert.match(error.message, /read ECONNRESET/),
  'reset-mid-body': ({ error }) => assert.equal(error.status, 200),
  truncated: ({ error }) => assert.equal(error.status, 200),
  oversized: ({ answer }) => {
    assert.ok(answer.bytes.length > 64 * 1024 * 1024)
    assert.equal(JSON.parse(answer.text.slice(-2000)).security.threat_score, 0)
  },
  'gzip-bomb': ({ answer }) => {
    assert.equal(answer.headers['content-encoding'], 'gzip')
    assert.ok(answer.bytes.length < 200 * 1024)
    assert.ok(gunzipSync(answer.bytes).length > 64 * 1024 * 1024)
  },
  'bad-gzip': ({ answer }) => {
    assert.equal(answer.headers['content-encoding'], 'gzip')
    assert.throws(() => gunzipSync(answer.bytes))
  },
  html: ({ answer }) => {
    assert.equal(answer.status, 200)
    assert.match(answer.headers['content-type'], /^text\/html/)
  },
  empty: ({ answer }) => {
    assert.equal(answer.status, 200)
    assert.equal(answer.bytes.length, 0)
  },
  'not-json': ({ answer }) => {
    assert.equal(answer.headers['content-type'], 'application/json')
    assert.throws(() => answer.json(), SyntaxError)
  },
  'wrong-types': ({ answer }) => {
    assert.equal(answer.status, 200)
    assert.equal(typeof answer.json().security.threat_score, 'object')
    assert.equal(typeof answer.json().security.is_vpn, 'object')
  },
  'wrong-endpoint': ({ answer }) => {
    assertMessage(answer, 404)
    assert.match(answer.json().message, /^No endpoint GET \/v3\/security\.$/)
  },
}
