// The first gate of a release: fails unless the tag, the versions, the changelog and the repository agree. Provenance is
// refused by npm when package.json names another repository than the one that the workflow runs in, and then the names of
// the platforms are published and the package is not.
//
//   node scripts/check-release.mjs TAG REPOSITORY-URL [DIRECTORY]
//   node scripts/check-release.mjs --notes TAG [DIRECTORY]   prints the changelog of that version

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/**
 * The section of a version in the changelog, without its heading.
 *
 * @param {string} changelog
 * @param {string} version
 */
function sectionOf(changelog, version) {
  const sections = changelog.split(/^(?=## )/m)
  const section = sections.find((text) => text.startsWith(`## [${version}] - `))
  return section?.replace(/^.*\n+/, '')
}

/**
 * @param {string} directory
 * @param {string} tag
 * @param {string} origin
 */
function complaintsAbout(directory, tag, origin) {
  const read = (name) => readFileSync(join(directory, name), 'utf8')
  const { version, repository } = JSON.parse(read('package.json'))
  const url = repository?.url?.replace(/^git\+/, '').replace(/\.git$/, '')
  const complaints = []
  if (url === undefined) {
    complaints.push('package.json names no `repository`, which provenance needs; see MAINTENANCE.md')
  } else if (url !== origin) {
    complaints.push(`the \`repository\` of package.json, \`${url}\`, is not where this runs, \`${origin}\``)
  }
  if (!/^\d+\.\d+\.\d+$/.test(version)) {
    complaints.push(
      `the version \`${version}\` is not \`X.Y.Z\`; wheels name others differently, so none is released`,
    )
  }
  if (tag !== `v${version}`)
    complaints.push(`the tag \`${tag}\` is not \`v${version}\`, the version of package.json`)
  if (!read('Cargo.toml').includes(`\nversion = "${version}"\n`)) {
    complaints.push(`Cargo.toml has not the version \`${version}\``)
  }
  if (sectionOf(read('CHANGELOG.md'), version) === undefined) {
    complaints.push(`CHANGELOG.md has no section \`## [${version}] - DATE\``)
  }
  return complaints
}

const [first, second, directory = ROOT] = process.argv.slice(2)
if (first === '--notes') {
  process.stdout.write(
    sectionOf(readFileSync(join(directory, 'CHANGELOG.md'), 'utf8'), second.slice(1)) ?? '',
  )
} else {
  const complaints = complaintsAbout(directory, first, second)
  for (const complaint of complaints) console.error(`release: ${complaint}`)
  process.exitCode = complaints.length === 0 ? 0 : 1
}
