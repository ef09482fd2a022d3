import type { Test } from 'tap'
import { BrokerError, createServerClient } from '../../../sdk/server.ts'
import type { ServerClientOptions } from '../../../sdk/server.ts'
import type { AppSettings } from '../../../server/oauth/app-settings.ts'
import { buildBroker } from '../../helper.ts'
import type { TestOptions } from '../../helper.ts'
import { addOfflineApp } from '../../oauth/offline/begin.ts'
import { addUsers } from '../../oauth/offline/many.ts'

/** A broker with an offline app, users who have connected, and a client that records its requests. */
export async function begin(
  t: Test,
  { users = 0, settings = {}, ...options }: TestOptions & Begin = {},
) {
  const broker = await buildBroker(t, options)
  const offline = await addOfflineApp(broker, settings)
  const grantIds = (await addUsers(broker, offline.app, users)).sort()
  const { client_id: clientId, client_secret: clientSecret } = offline.credentials
  const requests = recordRequests()
  const base = { broker: broker.url, clientId, fetch: requests.fetch }
  const newClient = (more: Partial<ServerClientOptions> = {}) =>
    createServerClient({ ...base, clientSecret, ...more } as ServerClientOptions)
  return { broker, app: offline.app, grantIds, requests, newClient, client: newClient() }
}

interface Begin {
  users?: number
  settings?: Partial<AppSettings>
}

/** A `fetch` that records paths, and answers the next requests itself if a test says so. */
function recordRequests() {
  const paths: string[] = []
  const answers: (Response | Error)[] = []
  return {
    paths,
    /** Answers instead of the broker. An error: the answer is lost. */
    answerWith: (...next: (Response | Error)[]) => void answers.push(...next),
    fetch: async (input: string | URL | Request, init?: RequestInit) => {
      const url = new URL(input instanceof Request ? input.url : input)
      paths.push(`${init?.method} ${url.pathname}`)
      const next = answers.shift()
      if (next instanceof Response) return next
      const answer = await fetch(input, init)
      if (!next) return answer
      await answer.text()
      throw next
    },
  }
}

/** The error that a call rejects with. */
export async function errorOf(work: Promise<unknown>): Promise<BrokerError> {
  const error = await work.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (error instanceof BrokerError) return error
  throw new Error(`Not a BrokerError: ${String(error)}`)
}

/** What a busy broker answers. */
export const busy = (retryAfter = '0', status = 503): Response => {
  const body = { error: 'temporarily_unavailable', error_description: 'Busy.' }
  return Response.json(body, { status, headers: { 'retry-after': retryAfter } })
}
