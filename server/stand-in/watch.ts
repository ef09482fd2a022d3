import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Effect } from './effects.ts'
import { effectOf } from './effects.ts'
import type { Endpoint } from './faults.ts'
import { worksFirst } from './faults.ts'
import type { Answer } from './oauth/errors.ts'
import type { StandIn } from './stand-in.ts'

/**
 * Answers a maker of route hooks. They count the endpoint's calls, and let a fault strike before the
 * route's work or after it.
 */
export function watching(standIn: StandIn) {
  const later = new WeakMap<FastifyRequest, Effect>()

  return (endpoint: Endpoint | ((request: FastifyRequest) => Endpoint)) => ({
    async preHandler(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
      const name = typeof endpoint === 'function' ? endpoint(request) : endpoint
      standIn.calls[name] += 1
      const fault = standIn.faults.take(name)
      if (!fault) return undefined
      request.log.info({ endpoint: name, kind: fault.kind }, 'a fault strikes')
      const effect = effectOf(fault, standIn.switches)
      if (!worksFirst(fault)) return strikeBefore(effect, request, reply, standIn)
      later.set(request, effect)
      return undefined
    },
    async onSend(request: FastifyRequest, reply: FastifyReply, payload: unknown) {
      const effect = later.get(request)
      return effect ? strikeAfter(effect, request, payload, { reply, standIn }) : payload
    },
  })
}

/** In place of the work; a wait goes before it. */
async function strikeBefore(
  effect: Effect,
  request: FastifyRequest,
  reply: FastifyReply,
  standIn: StandIn,
) {
  switch (effect.does) {
    case 'wait':
      return standIn.sleep(effect.milliseconds)
    case 'hang':
      return reply.hijack()
    case 'cut':
      request.raw.socket.destroy()
      return reply.hijack()
    case 'answer':
      return reply.send(dress(reply, effect.answer))
  }
}

/** In place of the work's answer; a wait goes before it. */
async function strikeAfter(
  effect: Effect,
  request: FastifyRequest,
  payload: unknown,
  { reply, standIn }: { reply: FastifyReply; standIn: StandIn },
) {
  switch (effect.does) {
    case 'wait':
      await standIn.sleep(effect.milliseconds)
      return payload
    case 'hang':
      return new Promise(() => {}) // until one of the two hangs up
    case 'cut':
      request.raw.socket.destroy()
      return payload
    case 'answer':
      return dress(reply, effect.answer)
  }
}

/** Gives the reply the answer's status and headers; the body that it returns is still to be sent. */
function dress(reply: FastifyReply, { status, type, headers, body }: Answer): string {
  void reply.code(status).type(type).headers(headers)
  return body
}
