// Visits at a fixed pace, for as long as the drill lasts.

import { setTimeout as sleep } from 'node:timers/promises'
import { send } from './request.mjs'

export class Traffic {
  #apps
  #visitors
  #interval
  #running
  #isEnding = false
  #sent = 0
  #underWay = new Set()
  /** @type {import('./run.mjs').Played | undefined} */
  #during
  /** @type {import('./request.mjs').Record[]} */
  records = []

  /**
   * @param {{ port: number }[]} apps
   * @param {import('./visitors.mjs').Visitors} visitors
   * @param {number} perSecond
   */
  constructor(apps, visitors, perSecond) {
    this.#apps = apps
    this.#visitors = visitors
    this.#interval = 1_000 / perSecond
    this.#running = this.#run()
  }

  /** Requests from now on belong to this phase. */
  enter(played) {
    this.#during = played
  }

  /** Resolves when so many more visits have begun. */
  async visits(count) {
    const enough = this.#sent + count
    while (this.#sent < enough) await sleep(this.#interval)
  }

  /** Resolves when a decision of this phase says one of its failures. */
  async seen(played) {
    const { failures } = played.phase
    const isSeen = ({ during, decision }) => during === played && failures.includes(decision?.failure)
    while (!this.records.some(isSeen)) await sleep(this.#interval)
  }

  /** Resolves when every request so far has its answer. */
  async answered() {
    await Promise.all(this.#underWay)
  }

  /** Sends a request and resolves with its record. */
  ask(app, path, ip) {
    const { port } = this.#apps[app]
    const record = this.#record({ during: this.#during, app, path, ip }, send({ port, path, ip }))
    this.#underWay.add(record)
    return record.finally(() => this.#underWay.delete(record))
  }

  /** Ends the visits; resolves when every request has its answer. */
  async end() {
    this.#isEnding = true
    await this.#running
    await this.answered()
  }

  async #record(facts, answer) {
    const record = { ...facts, ...(await answer) }
    this.records.push(record)
    return record
  }

  async #run() {
    const began = performance.now()
    for (; !this.#isEnding; this.#sent++) {
      // Late visits come at once, so that the pace does not depend on the answers, nor on this loop.
      await sleep(Math.max(0, began + this.#sent * this.#interval - performance.now()))
      const { app, path, ips } = this.#visitors.next()
      for (const ip of ips) this.ask(app, path, ip)
    }
  }
}
