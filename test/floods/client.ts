/** A child process that floods a broker from many addresses; see flood.ts. Prints what it got as JSON. */
import { Agent, request } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'

/** Workers of one flood, each with one connection at a time. */
const WORKERS = 24
/** Requests from one address, before the worker takes another one. */
const REQUESTS_PER_ADDRESS = 10

/** Few enough to leave a broker idle for most of the time. */
const EXCHANGES_PER_SECOND = 200

const [kind = '', url = '', value = '', seconds = '1'] = process.argv.slice(2)
const endsAt = performance.now() + Number(seconds) * 1000

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

interface Form {
  [name: string]: string
}

/** Any address of this machine: 127.0.0.0/8 has 16 million. */
const randomAddress = (): string => {
  const octet = () => 1 + Math.floor(Math.random() * 254)
  return `127.${octet()}.${octet()}.${octet()}`
}

class Client {
  #agent = new Agent({ keepAlive: true, maxSockets: 1, localAddress: randomAddress() })

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.#send('GET', path, headers)
  }

  post(path: string, headers: Record<string, string>, form?: Form): Promise<Answer> {
    const type = { 'content-type': 'application/x-www-form-urlencoded' }
    const body = form && new URLSearchParams(form).toString()
    return this.#send('POST', path, { ...headers, ...(form && type) }, body)
  }

  #send(
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: string,
  ): Promise<Answer> {
    const options = { agent: this.#agent, method, headers }
    return new Promise((resolve, reject) => {
      const sent = request(url + path, options, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        response.on('error', reject)
        response.on('end', () => {
          const { statusCode: status = 0, headers } = response
          resolve({ status, headers, body: text })
        })
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

const cookiesOf = ({ headers }: Answer): string =>
  (headers['set-cookie'] ?? []).map((cookie) => cookie.split(';')[0]).join('; ')

const challenge = 'x'.repeat(43)
const startFlow = (client: Client) =>
  client.get(
    `/oauth/authorize?response_type=code&client_id=${value}&state=s&code_challenge=${challenge}&code_challenge_method=S256`,
  )

/** One attempt of each attack; its last answer counts. */
const attacks: Record<string, (client: Client) => Promise<Answer>> = {
  flows: startFlow,

  'device codes': (client) => client.post('/oauth/device_authorization', {}, { client_id: value }),

  async callbacks(client) {
    const started = await startFlow(client)
    const state = new URL(started.headers.location ?? '').searchParams.get('state') ?? ''
    return client.get(`/callback?code=made-up&state=${state}`, { cookie: cookiesOf(started) })
  },

  async 'sign-ins'(client) {
    const page = await client.get('/admin/sign-in')
    const token = /name="_csrf" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
    const form = { email: `${Math.random()}@example.com`, password: 'a guess', _csrf: token }
    return client.post('/admin/sign-in', { cookie: cookiesOf(page) }, form)
  },
}

const statuses: Record<string, number> = {}
const durationsMs: number[] = []

async function work(attack: (client: Client) => Promise<Answer>): Promise<void> {
  while (performance.now() < endsAt) {
    const client = new Client()
    for (let sent = 0; sent < REQUESTS_PER_ADDRESS && performance.now() < endsAt; sent++) {
      const { status } = await attack(client).catch(() => ({ status: 0 }))
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    client.close()
  }
}

/** Not an attack: an app's exchanges, at fixed times, so that a slow answer delays no other one. */
async function exchangeSteadily(perSecond: number): Promise<void> {
  const agents = Array.from({ length: 50 }, () => new Client())
  const answers: Promise<void>[] = []
  const startedAt = performance.now()
  const exchange = async (client: Client) => {
    const sentAt = performance.now()
    const { status } = await client
      .post('/exchange', { authorization: `Bearer ${value}` })
      .catch(() => ({ status: 0 }))
    statuses[status] = (statuses[status] ?? 0) + 1
    durationsMs.push(performance.now() - sentAt)
  }
  for (let index = 0; performance.now() < endsAt; index++) {
    const dueAt = startedAt + (index * 1000) / perSecond
    if (dueAt > performance.now())
      await new Promise((resolve) => setTimeout(resolve, dueAt - performance.now()))
    const client = agents[index % agents.length]
    if (client) answers.push(exchange(client))
  }
  await Promise.all(answers)
  for (const client of agents) client.close()
}

const attack = attacks[kind]
if (kind === 'exchanges') await exchangeSteadily(EXCHANGES_PER_SECOND)
else if (attack) await Promise.all(Array.from({ length: WORKERS }, () => work(attack)))
const p99Ms = durationsMs.sort((one, other) => one - other)[Math.floor(durationsMs.length * 0.99)]
process.stdout.write(JSON.stringify({ statuses, p99Ms }))
