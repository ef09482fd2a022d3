import t from 'tap'
import type { Endpoint, Fault } from '../../server/stand-in/app.ts'
import type { TestStandIn } from './helper.ts'
import { openPath, openRaster } from './drive.ts'
import { accessToken, authorize, authorizeUrl, get, redeem, refresh, start } from './helper.ts'

/** A fault without its endpoint. Distributes over the union, so that each kind keeps its fields. */
type EndpointFault = Fault extends infer One
  ? One extends Fault
    ? Omit<One, 'endpoint'>
    : never
  : never

const DELAY_MS = 10_000
const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

/** Adds the fault and refreshes. Returns the response and the state of the token. */
async function refreshWithFault(running: TestStandIn, fault: EndpointFault) {
  const { standIn } = running
  const token = standIn.grant('amelie')
  standIn.addFault({ ...fault, endpoint: 'refresh' })
  const answer = await refresh(running, token).catch((error: Error) => error)
  return { answer, rotated: !standIn.honours(token), pending: standIn.faults.list().length }
}

t.test('each fault kind applies before or after the work', async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const apply = async (fault: EndpointFault) => {
    const result = await refreshWithFault(running, fault)
    t.equal(result.pending, 0, `${fault.kind} applies once by default`)
    return result
  }
  const cases: [EndpointFault, object][] = [
    [{ kind: 'status', status: 503 }, { answer: { status: 503, body: { message: String } } }],
    [
      { kind: 'status', status: 502, worked: true },
      { answer: { status: 502 }, rotated: true },
    ],
    [{ kind: 'garbage' }, { answer: { status: 200, text: /[^}]$/ }, rotated: false }],
    [
      { kind: 'garbage', worked: true },
      { answer: { text: /[^}]$/ }, rotated: true },
    ],
    [{ kind: 'html' }, { answer: { status: 200, text: /^<!doctype/ }, rotated: false }],
    [{ kind: 'invalid_client' }, { answer: { status: 401, body: { error: 'invalid_client' } } }],
    [{ kind: 'invalid_grant' }, { answer: { status: 400, body: { error: 'invalid_grant' } } }],
    [{ kind: 'cut-before' }, { answer: Error, rotated: false }],
    [{ kind: 'cut-after' }, { answer: Error, rotated: true }],
  ]
  for (const [fault, expected] of cases) {
    t.match(await apply(fault), expected, JSON.stringify(fault))
  }
  for (const kind of ['delay', 'late'] as const) {
    const waited = apply({ kind, milliseconds: DELAY_MS })
    await running.clock.asleep(DELAY_MS)
    running.clock.advance(DELAY_MS)
    t.match(await waited, { answer: { status: 200 }, rotated: true }, kind)
  }
  const rejected = await refreshWithFault(running, { kind: 'invalid_grant' })
  t.notOk(rejected.rotated, 'the rejected token stays valid')
})

t.test('delay waits before the work, late waits after it', async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const { standIn } = running
  for (const kind of ['delay', 'late'] as const) {
    const token = standIn.grant('amelie')
    standIn.addFault({ endpoint: 'refresh', kind, milliseconds: DELAY_MS })
    let isAnswered = false
    const answer = refresh(running, token).finally(() => (isAnswered = true))
    await running.clock.asleep(DELAY_MS)
    t.equal(standIn.honours(token), kind === 'delay')
    running.clock.advance(DELAY_MS - 1)
    t.equal((await get(`${running.url}/control`)).status, 200)
    t.equal(isAnswered, false)
    running.clock.advance(1)
    t.equal((await answer).status, 200)
  }
})

t.test('hang never responds until the client disconnects', async (t) => {
  const running = await start(t, { switches: { rotation: 'always' } })
  const { standIn } = running
  for (const worked of [false, true]) {
    const token = standIn.grant('amelie')
    standIn.addFault({ endpoint: 'refresh', kind: 'hang', worked })
    const body = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: token,
      client_id: standIn.clients[0]?.id ?? '',
      client_secret: standIn.clients[0]?.secret ?? '',
    })
    const abort = new AbortController()
    const { signal } = abort
    const call = fetch(`${running.apiUrl}/oauth/token`, { method: 'POST', body, signal })
    let isAnswered = false
    void call.catch(() => undefined).finally(() => (isAnswered = true))
    const before = standIn.calls.refresh
    while (standIn.calls.refresh === before || standIn.honours(token) === worked) await nextTurn()
    t.equal((await get(`${running.url}/control`)).status, 200, 'other requests get a response')
    t.equal(isAnswered, false)
    abort.abort()
    await t.rejects(call, { name: 'AbortError' })
    t.equal(!standIn.honours(token), worked)
  }
})

t.test('close() works while calls hang', async (t) => {
  const running = await start(t)
  for (const worked of [false, true]) {
    running.standIn.addFault({ endpoint: 'account', kind: 'hang', worked })
  }
  const outcome = () => get(`${running.apiUrl}/account`).catch((error: Error) => error.name)
  const outcomes = Promise.all([outcome(), outcome()])
  while (running.standIn.calls.account < 2) await nextTurn()
  await running.close()
  t.strictSame(await outcomes, ['TypeError', 'TypeError'])
})

t.test('status 429 with and without Retry-After', async (t) => {
  const running = await start(t)
  const { standIn } = running
  for (const retryAfter of [undefined, 7, 'Wed, 21 Oct 2026 07:28:00 GMT']) {
    const more = retryAfter === undefined ? {} : { retryAfter }
    standIn.addFault({ endpoint: 'account', kind: 'status', status: 429, ...more })
    const { status, headers, body } = await get(`${running.apiUrl}/account`)
    t.equal(status, 429)
    t.equal(headers.get('retry-after'), retryAfter === undefined ? null : String(retryAfter))
    t.match(body, { message: /too many/ })
  }
})

t.test('faults apply to the next calls in the order they were added', async (t) => {
  const running = await start(t)
  const { standIn } = running
  const token = await accessToken(running)
  const statuses = async (count: number) => {
    const seen = []
    for (let index = 0; index < count; index++) {
      seen.push((await get(`${running.apiUrl}/account?token=${token}`)).status)
    }
    return seen
  }
  standIn.addFault({ endpoint: 'account', kind: 'status', status: 500, times: 2 })
  standIn.addFault({ endpoint: 'account', kind: 'status', status: 503 })
  t.strictSame(await statuses(4), [500, 500, 503, 200])
  t.equal(standIn.calls.account, 4, 'failed calls are counted')
  standIn.addFault({ endpoint: 'account', kind: 'status', status: 500 })
  standIn.clearFaults()
  t.strictSame(await statuses(1), [200])
})

t.test('a share of the calls fails, by the injected random numbers', async (t) => {
  const numbers = [0.1, 0.9, 0.29, 0.3, 0.0, 0.0]
  const running = await start(t, { random: () => numbers.shift() ?? 1 })
  const token = await accessToken(running)
  const fault = { endpoint: 'account', kind: 'status', status: 500, share: 0.3, times: 3 } as const
  running.standIn.addFault(fault)
  const seen = []
  for (let index = 0; index < 6; index++) {
    seen.push((await get(`${running.apiUrl}/account?token=${token}`)).status)
  }
  t.strictSame(seen, [500, 200, 500, 200, 500, 200], 'at most three times')
  running.standIn.addFault({ endpoint: 'account', kind: 'status', status: 500, share: 1 })
  numbers.push(0.9, 0.9)
  const again = () => get(`${running.apiUrl}/account`)
  t.strictSame([(await again()).status, (await again()).status], [500, 500])
  t.equal(running.standIn.faults.list().length, 1, 'a share without times stays active')
})

t.test('each endpoint is counted and can fail by its name', async (t) => {
  const running = await start(t)
  const { standIn, apiUrl } = running
  const token = await accessToken(running)
  const code = await authorize(running)
  const { body } = await get(`${apiUrl}/account/root/myDrive?token=${token}&type=["folder"]`)
  const { id } = body.result[0]
  const raster = await openRaster(running, 'World relief')
  const file = await openPath(running, 'Project plan.docx')
  const uploadFile = () => {
    const form = new FormData()
    form.set('data', new Blob(['x']), 'x.txt')
    const authorization = `Bearer ${token}`
    return fetch(`${apiUrl}/path/file`, { method: 'POST', body: form, headers: { authorization } })
  }
  const wms = `${apiUrl}/ogc/wms/${raster.id}?request=GetCapabilities&token=${token}`
  const calls: Record<Endpoint, () => Promise<{ status: number }>> = {
    authorize: () => get(authorizeUrl(running)),
    token: () => redeem(running, code),
    refresh: () => refresh(running, standIn.grant('bo')),
    account: () => get(`${apiUrl}/account?token=${token}`),
    root: () => get(`${apiUrl}/account/root/trash?token=${token}`),
    path: () => get(`${apiUrl}/path/${id}?token=${token}`),
    folder: () => get(`${apiUrl}/path/${id}/folder/list?token=${token}`),
    tile: () => get(`${raster.tiles}/1/0/0?token=${token}`),
    wms: () => get(wms),
    download: () => get(`${apiUrl}/path/${file.id}/file/data?token=${token}`),
    upload: uploadFile,
  }
  standIn.resetCalls()
  for (const [name, call] of Object.entries(calls) as [Endpoint, (typeof calls)['path']][]) {
    standIn.addFault({ endpoint: name, kind: 'status', status: 500 })
    t.equal((await call()).status, 500, name)
    t.equal((await call()).status, 200, name)
  }
  const twice = Object.fromEntries(Object.keys(calls).map((name) => [name, 2]))
  t.strictSame(standIn.calls, twice)
})
