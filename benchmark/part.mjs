// One part in a process of its own: `part.mjs NAME`. What it started ends with it, so that one that fails leaves nothing
// that takes processors from those that follow.

const [name] = process.argv.slice(2)
process.on('disconnect', () => process.exit())
try {
  const { run } = await import(`./parts/${name}.mjs`)
  process.send(await run(), () => process.exit())
} catch (error) {
  console.error(error)
  process.exit(1)
}
