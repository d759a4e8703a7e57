'use strict'

/** `ip-risk feeds`: what is known without asking a provider. */

const HELP = `Usage: ip-risk feeds <command> [options]

Offline feeds score addresses where there is no key, and where the provider cannot answer. Some are in the package;
\`update\` fetches more into a directory, which running applications read again by themselves.

Commands:
  update         fetch what is due and put it into use
  import FILE... take files that were fetched elsewhere
  status         show what is there, how old it is and under which licence
  explain IP...  show every feed that covers an address, and how its score comes about

Options:
  -h, --help     show this help; \`ip-risk feeds <command> --help\` shows that of a command

Environment:
  IP_RISK_FEEDS  the directory, where \`--dir\` is not written; applications read it, too
`

exports.help = HELP
exports.commands = {
  update: require('./feeds-update.js'),
  import: require('./feeds-import.js'),
  status: require('./feeds-status.js'),
  explain: require('./feeds-explain.js'),
}
