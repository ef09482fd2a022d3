import type { FastifyPluginAsync } from 'fastify'
import type { Fault } from './faults.ts'
import { faultSchema } from './faults.ts'
import type { StandIn } from './stand-in.ts'
import type { Switches } from './switches.ts'
import { switchSchema } from './switches.ts'

const nonEmptyString = { type: 'string', minLength: 1 } as const
const strictObject = (properties: object, required: string[]) => ({
  type: 'object',
  additionalProperties: false,
  properties,
  required,
})
const revokeSchema = strictObject({ refresh_token: nonEmptyString }, ['refresh_token'])
const honoursSchema = strictObject(
  { refresh_tokens: { type: 'array', items: { type: 'string' } } },
  ['refresh_tokens'],
)
const grantsSchema = strictObject(
  { usernames: { type: 'array', items: nonEmptyString }, client_id: nonEmptyString },
  ['usernames'],
)

/** Controls the stand-in over HTTP. Ellipsis Drive has no such endpoints. */
export const controlRoutes: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const state = () => {
    const { switches, calls, faults } = standIn
    return { switches, calls, faults: faults.list() }
  }

  app.get('/control', async () => state())

  app.post<{ Body: Partial<Switches> }>(
    '/control',
    { schema: { body: switchSchema } },
    async ({ body }) => {
      Object.assign(standIn.switches, body)
      return state()
    },
  )

  app.delete('/control/calls', async () => {
    standIn.resetCalls()
    return state()
  })

  app.post<{ Body: Fault }>(
    '/control/faults',
    { schema: { body: faultSchema } },
    async ({ body }) => {
      standIn.addFault(body)
      return state()
    },
  )

  app.delete('/control/faults', async () => {
    standIn.clearFaults()
    return state()
  })

  app.post<{ Body: { refresh_token: string } }>(
    '/control/revoke',
    { schema: { body: revokeSchema } },
    async ({ body }) => {
      standIn.revokeRefreshToken(body.refresh_token)
      return state()
    },
  )

  app.post<{ Body: { refresh_tokens: string[] } }>(
    '/control/honours',
    { schema: { body: honoursSchema } },
    async ({ body }) => ({ honoured: body.refresh_tokens.map((token) => standIn.honours(token)) }),
  )

  app.post<{ Body: { usernames: string[]; client_id?: string } }>(
    '/control/grants',
    { schema: { body: grantsSchema } },
    async ({ body: { usernames, client_id } }) => ({
      refresh_tokens: usernames.map((username) => standIn.grant(username, client_id)),
    }),
  )
}
