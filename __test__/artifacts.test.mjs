/** The gates of a release: what they refuse, on binaries of every target that are made for this. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makeConsumer } from './support/consumer.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version, napi } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const ELF_MACHINES = { x64: 62, arm64: 183 }
const MACH_O_MACHINES = { x64: 0x01000007, arm64: 0x0100000c }
const PE_MACHINES = { x64: 0x8664, arm64: 0xaa64 }

/** Runs a script of the repository, with options of a process before its name or without. */
function run(...words) {
  const options = typeof words[0] === 'string' ? {} : words.shift()
  const [script, ...rest] = words
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts', script), ...rest], {
    encoding: 'utf8',
    ...options,
  })
  return { status, stdout, complaints: stderr.split('\n').filter(Boolean) }
}

/** A shared object that links nothing, or what `source` names. */
function linkElf(directory, source = '', ...words) {
  const path = join(directory, 'linked.so')
  const { status, stderr } = spawnSync(
    'cc',
    ['-shared', '-o', path, '-x', 'c', '-', '-x', 'none', ...words],
    {
      input: source,
      encoding: 'utf8',
    },
  )
  assert.equal(status, 0, stderr)
  return readFileSync(path)
}

function machO(architecture) {
  const bytes = Buffer.alloc(64)
  bytes.writeUInt32LE(0xfeedfacf, 0)
  bytes.writeUInt32LE(MACH_O_MACHINES[architecture], 4)
  return bytes
}

function portableExecutable(architecture) {
  const bytes = Buffer.alloc(128)
  bytes.write('MZ', 0)
  bytes.writeUInt32LE(64, 60)
  bytes.write('PE\0\0', 64)
  bytes.writeUInt16LE(PE_MACHINES[architecture], 68)
  return bytes
}

function elf(architecture, linked) {
  const bytes = Buffer.from(linked)
  bytes.writeUInt16LE(ELF_MACHINES[architecture], 18)
  return bytes
}

const NO_ELF = process.platform !== 'linux' && 'needs a linker that makes ELF'

describe('the gate for binaries', { skip: NO_ELF }, () => {
  let scratch, whole

  before(() => {
    scratch = mkdtempSync(join(tmpdir(), 'ip-risk-artifacts-'))
    whole = join(scratch, 'whole')
    const nothing = linkElf(scratch, '', '-nostdlib')
    for (const architecture of ['x64', 'arm64']) {
      for (const [name, bytes] of [
        [`linux-${architecture}-gnu`, elf(architecture, nothing)],
        [`linux-${architecture}-musl`, elf(architecture, nothing)],
        [`darwin-${architecture}`, machO(architecture)],
        [`win32-${architecture}-msvc`, portableExecutable(architecture)],
      ]) {
        mkdirSync(join(whole, name), { recursive: true })
        writeFileSync(join(whole, name, `ip-risk.${name}.node`), bytes)
      }
    }
  })
  after(() => rmSync(scratch, { recursive: true }))

  /** What the gate says once `change` was made to the directory of a release that is whole. */
  function complaintsAfter(change) {
    const directory = mkdtempSync(join(scratch, 'changed-'))
    cpSync(whole, directory, { recursive: true })
    change((name) => join(directory, name, `ip-risk.${name}.node`))
    const { status, complaints } = run('check-artifacts.mjs', directory)
    assert.equal(status, 1)
    return complaints
  }

  test('passes when every target has its binary', () => {
    const { status, complaints } = run('check-artifacts.mjs', whole)
    assert.deepEqual(complaints, [])
    assert.equal(status, 0)
    assert.equal(readdirSync(whole).length, napi.targets.length)
  })

  test('names every target whose binary is missing', () => {
    const empty = mkdtempSync(join(scratch, 'empty-'))
    const { status, complaints } = run('check-artifacts.mjs', empty)
    assert.equal(status, 1)
    assert.deepEqual(
      complaints.map((line) => line.split(': ')[1]),
      napi.targets,
    )
  })

  test('refuses one that is missing, one too many, and one that is cut off', () => {
    const [missing] = complaintsAfter((path) => rmSync(path('darwin-arm64')))
    assert.match(missing, /aarch64-apple-darwin: `ip-risk\.darwin-arm64\.node` is there 0 times/)
    const [stranger] = complaintsAfter((path) =>
      cpSync(path('darwin-x64'), `${path('darwin-x64')}.other.node`),
    )
    assert.match(stranger, /is the binary of no target/)
    const [cut] = complaintsAfter((path) => truncateSync(path('win32-x64-msvc'), 10))
    assert.match(cut, /is no binary, not PE for x64/)
  })

  test('refuses a binary for another machine', () => {
    const [elsewhere] = complaintsAfter((path) => cpSync(path('linux-x64-gnu'), path('linux-arm64-gnu')))
    assert.match(elsewhere, /aarch64-unknown-linux-gnu: .* is ELF for x64, not ELF for arm64/)
    const [system] = complaintsAfter((path) => cpSync(path('darwin-x64'), path('win32-x64-msvc')))
    assert.match(system, /is Mach-O for x64, not PE for x64/)
  })

  test('refuses one that is too large', () => {
    const [large] = complaintsAfter((path) => truncateSync(path('darwin-x64'), 8_000_001))
    assert.match(large, /has 8000001 bytes, more than 8000000/)
  })

  test('refuses a musl binary that links a symbol of glibc', { skip: isNoGlibc() }, () => {
    const bytes = elf('x64', linkElf(scratch, 'int puts(const char *); int call() { return puts("any"); }'))
    const complaints = complaintsAfter((path) => writeFileSync(path('linux-x64-musl'), bytes))
    assert.match(complaints[0], /x86_64-unknown-linux-musl: .* needs `libc\.so\.6`/)
    assert.match(complaints[1], /links symbols of glibc, and that is not there: GLIBC_/)
  })

  test(
    'refuses a glibc binary that needs a newer glibc than 2.17, or another library',
    { skip: isNoGlibc() },
    () => {
      const newer = linkElf(
        scratch,
        '#include <string.h>\nextern int getentropy(void *, unsigned long); int call(void *a) { return getentropy(a, 1); }',
      )
      const [symbols] = complaintsAfter((path) => writeFileSync(path('linux-x64-gnu'), newer))
      assert.match(symbols, /only 2\.17 is sure to be there: .*GLIBC_2\.25/)
      const stranger = linkElf(scratch, '', '-Wl,--no-as-needed', '-lstdc++', '-lc')
      const [library] = complaintsAfter((path) => writeFileSync(path('linux-x64-gnu'), stranger))
      assert.match(library, /needs `libstdc\+\+\.so\.6`/)
    },
  )

  test('refuses a target that it does not know', () => {
    assert.equal(run('check-artifacts.mjs', whole, 'riscv64gc-unknown-linux-gnu').status, 1)
  })
})

/** Only there can a binary be linked that must be refused. */
function isNoGlibc() {
  const { glibcVersionRuntime } = process.report.getReport().header
  return glibcVersionRuntime && process.arch === 'x64' ? false : 'needs glibc and x64'
}

describe('the gate for wheels', () => {
  const NAMES = [
    'manylinux_2_17_x86_64.manylinux2014_x86_64',
    'manylinux_2_17_aarch64.manylinux2014_aarch64',
    'musllinux_1_2_x86_64',
    'musllinux_1_2_aarch64',
    'macosx_10_12_x86_64',
    'macosx_11_0_arm64',
    'win_amd64',
    'win_arm64',
  ].map((platform) => `ip_risk-${version}-cp310-abi3-${platform}.whl`)

  function check(t, names) {
    const directory = mkdtempSync(join(tmpdir(), 'ip-risk-wheels-'))
    t.after(() => rmSync(directory, { recursive: true }))
    for (const name of names) writeFileSync(join(directory, name), '')
    return run('check-artifacts.mjs', '--wheels', directory)
  }

  test('passes with all wheels and the source distribution', (t) => {
    const { status, complaints } = check(t, [...NAMES, `ip_risk-${version}.tar.gz`])
    assert.deepEqual([status, complaints], [0, []])
  })

  test('names what is missing, and what is there instead', (t) => {
    const { status, complaints } = check(t, [
      ...NAMES.slice(1),
      `ip_risk-${version}-cp313-cp313-win_amd64.whl`,
    ])
    assert.equal(status, 1)
    assert.equal(complaints.length, 3)
    assert.match(complaints[0], /manylinux_2_17_x86_64.* is missing/)
    assert.match(complaints[1], /tar\.gz` is missing/)
    assert.match(complaints[2], /cp313-cp313-win_amd64\.whl` is none of the distributions/)
  })
})

describe('the check of a binary on its own machine', () => {
  test('loads what was built here, and decides', () => {
    const addon = readdirSync(root).find((name) => name.endsWith('.node'))
    const { status, stdout, complaints } = run('check-load.mjs', join(root, addon))
    assert.deepEqual([status, complaints], [0, []])
    assert.match(stdout, /\.node decides on \w+ \w+.*, Node\.js v/)
  })

  test('loads the package that is installed, and decides', (t) => {
    const project = makeConsumer({ linked: [] })
    t.after(() => project.remove())
    const { status, stdout, complaints } = run({ cwd: project.directory }, 'check-load.mjs', 'ip-risk')
    assert.deepEqual([status, complaints], [0, []])
    assert.match(stdout, /\.node decides on/)
  })

  test('fails for a file that is no binary, although another one could be loaded', (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'ip-risk-load-'))
    t.after(() => rmSync(directory, { recursive: true }))
    const broken = join(directory, 'broken.node')
    writeFileSync(broken, 'no binary')
    assert.equal(run('check-load.mjs', broken).status, 1)
  })
})

describe('the gate for a tag', () => {
  const ORIGIN = 'https://code.example/any/ip-risk'

  /** A copy of what the gate reads, with changes. */
  function makeRelease(
    t,
    { manifest = {}, changelog = `## [${version}] - 2026-12-01\n\n### Added\n\n- All: it.\n` } = {},
  ) {
    const directory = mkdtempSync(join(tmpdir(), 'ip-risk-release-'))
    t.after(() => rmSync(directory, { recursive: true }))
    const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    const repository = { type: 'git', url: `git+${ORIGIN}.git` }
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ ...own, repository, ...manifest }))
    cpSync(join(root, 'Cargo.toml'), join(directory, 'Cargo.toml'))
    writeFileSync(join(directory, 'CHANGELOG.md'), `# Changelog\n\n## [Unreleased]\n\n${changelog}`)
    return directory
  }

  const check = (directory, ...words) => run('check-release.mjs', ...words, directory)

  test('passes when tag, versions, changelog and repository agree', (t) => {
    const { status, complaints } = check(makeRelease(t), `v${version}`, ORIGIN)
    assert.deepEqual([status, complaints], [0, []])
  })

  test('refuses a tag of another version', (t) => {
    const { complaints } = check(makeRelease(t), 'v9.9.9', ORIGIN)
    assert.match(complaints.join('\n'), /the tag `v9\.9\.9` is not `v/)
  })

  test('refuses a release without a repository, or of a fork', (t) => {
    const none = check(makeRelease(t, { manifest: { repository: undefined } }), `v${version}`, ORIGIN)
    assert.match(none.complaints[0], /package\.json names no `repository`.*MAINTENANCE\.md/)
    const fork = check(makeRelease(t), `v${version}`, 'https://code.example/else/ip-risk')
    assert.match(fork.complaints[0], /is not where this runs/)
  })

  test('refuses a version that the changelog does not date, and Rust of another version', (t) => {
    const undated = check(makeRelease(t, { changelog: '' }), `v${version}`, ORIGIN)
    assert.match(undated.complaints[0], /CHANGELOG\.md has no section `## \[/)
    const other = check(makeRelease(t, { manifest: { version: '9.9.9' } }), 'v9.9.9', ORIGIN)
    assert.match(other.complaints.join('\n'), /Cargo\.toml has not the version `9\.9\.9`/)
  })

  test('refuses a version before a release, which wheels name differently', (t) => {
    const early = check(makeRelease(t, { manifest: { version: '1.0.0-rc.1' } }), 'v1.0.0-rc.1', ORIGIN)
    assert.match(early.complaints[0], /the version `1\.0\.0-rc\.1` is not `X\.Y\.Z`/)
  })

  test('gives the section of the changelog as notes', (t) => {
    const { status, stdout } = check(makeRelease(t), '--notes', `v${version}`)
    assert.deepEqual([status, stdout], [0, '### Added\n\n- All: it.\n'])
  })
})
