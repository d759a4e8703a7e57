/** Certificates that are made for one test run. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const KEY_OPTIONS = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-batch']
const LEAF = 'basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n'

/**
 * An authority of one's own and a certificate of it for this machine: `tls` for a server, `authorityPath` for
 * `NODE_EXTRA_CA_CERTS`, `directory` for more files, `remove()` for the end.
 */
export function makeCertificates() {
  const directory = mkdtempSync(join(tmpdir(), 'ip-risk-tls-'))
  const at = (name) => join(directory, name)
  const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' })
  const authority = [
    '-keyout',
    at('authority.key'),
    '-out',
    at('authority.pem'),
    '-subj',
    '/CN=test authority',
  ]
  openssl('req', '-x509', ...KEY_OPTIONS, ...authority, '-days', '2')
  openssl('req', ...KEY_OPTIONS, '-keyout', at('leaf.key'), '-out', at('leaf.csr'), '-subj', '/CN=localhost')
  writeFileSync(at('leaf.ext'), LEAF)
  const signing = ['-CA', at('authority.pem'), '-CAkey', at('authority.key'), '-CAcreateserial', '-days', '2']
  openssl(
    'x509',
    '-req',
    '-in',
    at('leaf.csr'),
    ...signing,
    '-extfile',
    at('leaf.ext'),
    '-out',
    at('leaf.pem'),
  )
  return {
    directory,
    authorityPath: at('authority.pem'),
    tls: { key: readFileSync(at('leaf.key')), cert: readFileSync(at('leaf.pem')) },
    remove: () => rmSync(directory, { recursive: true }),
  }
}
