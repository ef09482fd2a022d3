import { STATUS_CODES } from 'node:http'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint, Fault } from './faults.ts'
import { appliesAfterWork } from './faults.ts'
import type { RawResponse } from './oauth/errors.ts'
import { OAuthError, oauthErrorResponse } from './oauth/errors.ts'
import type { StandIn } from './stand-in.ts'
import type { Switches } from './switches.ts'

/** What a fault does, before or after the route handler. */
type Effect =
  | { type: 'wait'; milliseconds: number }
  | { type: 'hang' }
  | { type: 'disconnect' }
  | { type: 'slow'; bytesPerSecond: number }
  | { type: 'cut-during'; bytes: number }
  | { type: 'respond'; response: RawResponse }

const JSON_TYPE = 'application/json; charset=utf-8'
const HTML_TYPE = 'text/html; charset=utf-8'
const TRUNCATED_JSON = '{"access_token":"half of i'
const MAINTENANCE_PAGE = '<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>'

/**
 * Returns a function that creates the hooks of a route. The hooks count the endpoint's calls, and
 * apply a fault before or after the route handler.
 */
export function createEndpointHooks(standIn: StandIn) {
  const effectsAfterWork = new WeakMap<FastifyRequest, Effect>()

  return (endpoint: Endpoint | ((request: FastifyRequest) => Endpoint)) => ({
    async preHandler(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
      const name = typeof endpoint === 'function' ? endpoint(request) : endpoint
      standIn.calls[name] += 1
      const fault = standIn.faults.take(name)
      if (!fault) return undefined
      request.log.info({ endpoint: name, kind: fault.kind }, 'fault applied')
      const effect = toEffect(fault, standIn.switches)
      if (!appliesAfterWork(fault)) return applyBeforeWork(effect, request, reply, standIn)
      effectsAfterWork.set(request, effect)
      return undefined
    },
    async onSend(request: FastifyRequest, reply: FastifyReply, payload: unknown) {
      const effect = effectsAfterWork.get(request)
      return effect ? applyAfterWork(effect, request, payload, { reply, standIn }) : payload
    },
  })
}

function toEffect(fault: Fault, switches: Switches): Effect {
  switch (fault.kind) {
    case 'delay':
    case 'late':
      return { type: 'wait', milliseconds: fault.milliseconds }
    case 'hang':
      return { type: 'hang' }
    case 'cut-before':
    case 'cut-after':
      return { type: 'disconnect' }
    case 'slow':
      return { type: 'slow', bytesPerSecond: fault.bytesPerSecond }
    case 'cut-during':
      return { type: 'cut-during', bytes: fault.bytes }
    case 'status':
      return respond(statusResponse(fault.status, fault.retryAfter))
    case 'garbage':
      return respond({ status: 200, type: JSON_TYPE, headers: {}, body: TRUNCATED_JSON })
    case 'html':
      return respond({ status: 200, type: HTML_TYPE, headers: {}, body: MAINTENANCE_PAGE })
    case 'invalid_client':
    case 'invalid_grant':
      return respond(oauthErrorResponse(new OAuthError(fault.kind, 'Not valid.'), switches))
  }
}

const respond = (response: RawResponse): Effect => ({ type: 'respond', response })

function statusResponse(status: number, retryAfter: string | number | undefined): RawResponse {
  const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }
  const message = status === 429 ? 'You made too many calls.' : STATUS_CODES[status]
  return { status, type: JSON_TYPE, headers, body: JSON.stringify({ message }) }
}

/** Replaces the route handler, or delays it. */
async function applyBeforeWork(
  effect: Effect,
  request: FastifyRequest,
  reply: FastifyReply,
  standIn: StandIn,
) {
  switch (effect.type) {
    case 'wait':
      return standIn.sleep(effect.milliseconds)
    case 'hang':
      return reply.hijack()
    case 'disconnect':
      request.raw.socket.destroy()
      return reply.hijack()
    case 'respond':
      return reply.send(setHead(reply, effect.response))
    case 'slow':
    case 'cut-during':
      return undefined // these apply to the body, after the work
  }
}

/** Replaces the route handler's response, or delays it. Returns the payload to send. */
async function applyAfterWork(
  effect: Effect,
  request: FastifyRequest,
  payload: unknown,
  { reply, standIn }: { reply: FastifyReply; standIn: StandIn },
) {
  switch (effect.type) {
    case 'wait':
      await standIn.sleep(effect.milliseconds)
      return payload
    case 'hang':
      return new Promise(() => {}) // until client or server closes the connection
    case 'disconnect':
      request.raw.socket.destroy()
      return payload
    case 'slow':
      return replaceBody(reply, payload, (body) => slowDown(body, effect.bytesPerSecond, standIn))
    case 'cut-during':
      return replaceBody(reply, payload, (body) => cutAfter(body, effect.bytes, request))
    case 'respond':
      return setHead(reply, effect.response)
  }
}

/** Sets the reply's status and headers. Returns the body, which the caller sends. */
function setHead(reply: FastifyReply, { status, type, headers, body }: RawResponse): string {
  void reply.code(status).type(type).headers(headers)
  return body
}

type Body = AsyncIterable<Buffer>

/** Sends a changed body under the head that announces the whole one. */
function replaceBody(reply: FastifyReply, payload: unknown, change: (body: Body) => Body): unknown {
  if (payload === undefined || payload === null) return payload
  if (payload instanceof Readable) return Readable.from(change(payload), { objectMode: false })
  const bytes = Buffer.from(payload as string | Buffer)
  void reply.header('content-length', bytes.length)
  return Readable.from(change(Readable.from([bytes])), { objectMode: false })
}

const SLICES_PER_SECOND = 10

async function* slowDown(body: Body, bytesPerSecond: number, { sleep }: StandIn): Body {
  const sliceBytes = Math.ceil(bytesPerSecond / SLICES_PER_SECOND)
  for await (const chunk of body) {
    for (let start = 0; start < chunk.length; start += sliceBytes) {
      const slice = chunk.subarray(start, start + sliceBytes)
      yield slice
      await sleep((slice.length * 1000) / bytesPerSecond)
    }
  }
}

async function* cutAfter(body: Body, bytes: number, request: FastifyRequest): Body {
  let left = bytes
  for await (const chunk of body) {
    if (chunk.length < left) yield chunk
    else {
      if (left > 0) yield chunk.subarray(0, left)
      await setImmediate() // until the bytes are written
      request.raw.socket.destroy()
      return
    }
    left -= chunk.length
  }
}
