'use strict'

const { shown } = require('./errors.js')
const { readOptions } = require('./middleware-options.js')
const { reportOldProxyAddr } = require('./proxy-addr.js')
const { factsOf, routeOf } = require('./request.js')
const { facts: FACTS } = require('./vocabulary.js')

/**
 * @import { Action, IpRiskRequestFields, MiddlewareOptions, RequestDecision, RequestLike, ResponseLike, RiskMiddleware } from '../index.js'
 *
 * @typedef {RequestLike & IpRiskRequestFields} Request
 * @typedef {(error?: unknown) => void} Next
 */

/** How many requests are looked at for a route that the policy does not spell as it is. */
const MOST_LOOKS = 100

/**
 * One gate in front of one route. What every request passes makes no functions: a method that does costs all its calls the
 * memory that they would share, also where none is made.
 */
class Gate {
  #options
  #judge
  #context
  #routes
  #looks = MOST_LOOKS

  /** @param {MiddlewareOptions} written */
  constructor(written) {
    const { options, judge, context } = readOptions(written)
    const { route, blockUnverified, clientIp, skip, onBlock, onChallenge, onHold, onDecision } = options
    // An object of a fixed shape: the copy that was checked has no prototype, and is a slow hash table.
    this.#options = { route, blockUnverified, clientIp, skip, onBlock, onChallenge, onHold, onDecision }
    this.#judge = judge
    this.#context = context
    this.#routes = judge.routesOf(context)
    reportOldProxyAddr(judge.log)
  }

  /**
   * @param {Request} request
   * @param {ResponseLike} response
   * @param {Next} next
   */
  handle(request, response, next) {
    const { skip } = this.#options
    if (skip === undefined) this.#judgeRequest(request, response, next)
    else this.#judgeUnlessSkipped(skip, request, response, next)
  }

  /**
   * @param {NonNullable<MiddlewareOptions['skip']>} skip
   * @param {Request} request
   * @param {ResponseLike} response
   * @param {Next} next
   */
  #judgeUnlessSkipped(skip, request, response, next) {
    const settleLater = (/** @type {unknown} */ result) =>
      this.#afterWaiting(next, (handOn) => this.#judgeUnless(result, request, response, handOn))
    const failed = (/** @type {unknown} */ error) => {
      this.#judge.log.hookFailed('skip', error)
      return false
    }
    let isSkipped
    let isLater = false
    try {
      isSkipped = skip(request)
      isLater = isThenable(isSkipped)
    } catch (error) {
      isSkipped = failed(error)
    }
    if (isLater) Promise.resolve(isSkipped).catch(failed).then(settleLater)
    else this.#judgeUnless(isSkipped, request, response, next)
  }

  /**
   * @param {unknown} isSkipped
   * @param {Request} request
   * @param {ResponseLike} response
   * @param {Next} next
   */
  #judgeUnless(isSkipped, request, response, next) {
    if (isSkipped !== true) return this.#judgeRequest(request, response, next)
    const decision = this.#judge.skipped(this.#addressOf(request) ?? '', this.#context)
    this.#settle(decision, request, response, next)
  }

  /**
   * @param {Request} request
   * @param {ResponseLike} response
   * @param {Next} next
   */
  #judgeRequest(request, response, next) {
    const text = this.#addressOf(request)
    const facts = this.#factsOf(request, text)
    const context = this.#contextOf(request)
    let decision
    try {
      decision = this.#judge.decideNow(text ?? '', context, facts)
    } catch (error) {
      decision = this.#judge.failed(context, facts, error)
    }
    if (decision !== undefined) this.#settle(decision, request, response, next)
    else this.#settleLater(this.#judge.decideLater(text ?? '', context, facts), request, response, next)
  }

  /**
   * @param {Promise<unknown>} decided
   * @param {Request} request
   * @param {ResponseLike} response
   * @param {Next} next
   */
  #settleLater(decided, request, response, next) {
    decided.then((decision) => {
      this.#afterWaiting(next, (handOn) => this.#settle(decision, request, response, handOn))
    })
  }

  /**
   * @param {Request} request
   * @returns {string | undefined}
   */
  #addressOf(request) {
    const { clientIp } = this.#options
    try {
      // A `trust proxy` function of the application runs inside `request.ip`.
      /** @type {unknown} */
      const text = clientIp === undefined ? (request.ip ?? request.socket?.remoteAddress) : clientIp(request)
      if (typeof text === 'string') return text
      if (isThenable(text)) text.then(undefined, () => {})
      if (text === undefined || text === null) return undefined
      const what = clientIp === undefined ? '`req.ip` must be' : '`clientIp` must return'
      throw new TypeError(`${what} text, not ${isThenable(text) ? 'a promise' : shown(text)}`)
    } catch (error) {
      this.#judge.log.hookFailed(clientIp === undefined ? 'trust proxy' : 'clientIp', error)
      return undefined
    }
  }

  /**
   * @param {Request} request
   * @param {string | undefined} text
   */
  #factsOf(request, text) {
    const { clientIp, blockUnverified } = this.#options
    const facts = clientIp === undefined ? factsOf(request, text) : FACTS.framework | FACTS.custom
    return blockUnverified === true ? facts | FACTS.blockUnverified : facts
  }

  /** @param {Request} request */
  #contextOf(request) {
    if (this.#routes.size === 0) return this.#context
    const route = this.#options.route ?? routeOf(request)
    const number = route === undefined ? undefined : this.#routes.get(route)
    if (number === undefined && this.#options.route === undefined && this.#looks > 0)
      this.#lookAtRoute(request, route)
    return number === undefined ? this.#context : this.#context | (number << 16)
  }

  /**
   * A policy may well name the routes of others alone. One that means this gate's was written with the prefix of a mounted
   * router, with a method, or with another slash.
   *
   * @param {Request} request
   * @param {string | undefined} route
   */
  #lookAtRoute({ baseUrl }, route) {
    this.#looks--
    const prefix = typeof baseUrl === 'string' ? baseUrl : ''
    if (route !== undefined && !meansRoute([...this.#routes.keys()], route, prefix)) return
    this.#judge.log.warnOnce('ERR_IP_RISK_ROUTE')
  }

  /**
   * @param {unknown} decided
   * @param {Request} request
   * @param {ResponseLike} response
   * @param {Next} next
   */
  #settle(decided, request, response, next) {
    const decision = /** @type {RequestDecision} */ (decided)
    // Read before anybody else has the object: watching does not change what the gate does.
    const { action, mode } = decision
    request.ipRisk = decision
    if (this.#options.onDecision !== undefined) this.#tell(this.#options.onDecision, decision, request)
    if (mode === 'log-only') return next()
    request.requireMfa ??= false
    request.holdForReview ??= false
    if (action === 'allow' || action === 'log') next()
    else this.#act(action, request, response, next)
  }

  /**
   * @param {NonNullable<MiddlewareOptions['onDecision']>} onDecision
   * @param {RequestDecision} decision
   * @param {Request} request
   */
  #tell(onDecision, decision, request) {
    this.#callAndReport('onDecision', () => onDecision(decision, request))
  }

  /**
   * What stops a request or asks for more of it.
   *
   * @param {Exclude<Action, 'allow' | 'log'>} action
   * @param {Request} request
   * @param {ResponseLike} response
   * @param {Next} next
   */
  #act(action, request, response, next) {
    switch (action) {
      case 'challenge':
        request.requireMfa = true
        return this.#answer('onChallenge', request, response, next, () => next())
      case 'block':
        return this.#answer('onBlock', request, response, next, () =>
          refuse(response, next, 403, 'Request blocked'),
        )
      case 'hold':
        request.holdForReview = true
        return this.#answer('onHold', request, response, next, () =>
          refuse(response, next, 503, 'Request held for review'),
        )
    }
  }

  /**
   * Lets the application's hook answer, or does what is usual. A hook that fails before it has answered or handed
   * the request on leaves the usual answer standing.
   *
   * @param {'onChallenge' | 'onBlock' | 'onHold'} name
   * @param {Request} request
   * @param {ResponseLike} response
   * @param {Next} next
   * @param {() => unknown} usual
   */
  #answer(name, request, response, next, usual) {
    const hook = this.#options[name]
    if (hook === undefined) return usual()
    let isHandedOn = false
    const handOn = (/** @type {unknown} */ error) => {
      if (isHandedOn) return
      isHandedOn = true
      if (error === undefined) next()
      else next(error)
    }
    const recover = () => {
      if (isHandedOn || response.headersSent) return
      isHandedOn = true
      usual()
    }
    this.#callAndReport(name, () => hook(request, response, handOn), recover)
  }

  /**
   * Calls code of the application. What it throws, now or later, is reported and goes no further.
   *
   * @param {string} name
   * @param {() => unknown} call
   * @param {() => unknown} [recover] called when it failed
   */
  #callAndReport(name, call, recover = () => {}) {
    const failed = (/** @type {unknown} */ error) => {
      this.#judge.log.hookFailed(name, error)
      recover()
    }
    try {
      const result = call()
      if (isThenable(result)) result.then(undefined, (error) => this.#contain(() => failed(error)))
    } catch (error) {
      failed(error)
    }
  }

  /**
   * Goes on with a request after a wait, when there is nobody to throw to any more. What fails before the request was
   * handed on goes to the error handler of the application, so that no request hangs.
   *
   * @param {Next} next
   * @param {(handOn: Next) => void} goOn
   */
  #afterWaiting(next, goOn) {
    let isHandedOn = false
    /** @type {Next} */
    const handOn = (...words) => {
      isHandedOn = true
      next(...words)
    }
    try {
      goOn(handOn)
    } catch (error) {
      this.#judge.log.hookFailed('next', error)
      if (!isHandedOn) this.#contain(() => next(error))
    }
  }

  /**
   * Runs what calls `next` after a wait of ours. Express catches what its own throws; for others it is reported.
   *
   * @param {() => void} call
   */
  #contain(call) {
    try {
      call()
    } catch (error) {
      this.#judge.log.hookFailed('next', error)
    }
  }
}

/**
 * Answers without a reason: what a client learns, an attacker learns. A response that cannot be written to is the
 * business of the application's error handler.
 *
 * @param {ResponseLike} response
 * @param {Next} next
 * @param {number} status
 * @param {string} error
 */
function refuse(response, next, status, error) {
  if (response.headersSent) return
  const body = JSON.stringify({ error })
  try {
    response.statusCode = status
    response.setHeader('Cache-Control', 'no-store')
    response.setHeader('Content-Type', 'application/json; charset=utf-8')
    // Without it, the connection ends after a HEAD.
    response.setHeader('Content-Length', String(body.length))
    response.end(body)
  } catch (cause) {
    next(cause)
  }
}

/**
 * @param {unknown} value
 * @returns {value is PromiseLike<unknown>}
 */
function isThenable(value) {
  return typeof (/** @type {{ then?: unknown } | undefined} */ (value)?.then) === 'function'
}

/**
 * Whether one of the names means a route that it does not spell.
 *
 * @param {string[]} names
 * @param {string} route
 * @param {string} prefix of the router that it is on
 */
function meansRoute(names, route, prefix) {
  const plain = (/** @type {string} */ text) => text.replace(/^[A-Z]+ /, '').replaceAll(/^\/|\/$/g, '')
  const meant = [plain(route), plain(prefix + route)]
  return names.some((name) => meant.includes(plain(name)))
}

/**
 * @param {MiddlewareOptions} [options]
 * @returns {RiskMiddleware}
 */
function riskMiddleware(options = {}) {
  const gate = new Gate(options)
  return function ipRisk(request, response, next) {
    gate.handle(request, response, next)
  }
}

exports.riskMiddleware = riskMiddleware
