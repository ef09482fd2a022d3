// All the code of an app without a back end that shows its users' layers on a map. Copy it freely.

const { brokerUrl, clientId } = await (await fetch('/config.json')).json()
const { createClient } = await import(`${brokerUrl}/sdk.js`)
const { createLinkLayer, createTokenLayer } = await import(`${brokerUrl}/sdk/leaflet.js`)
const client = createClient({ broker: brokerUrl, clientId })
const L = window.L
const element = (id) => document.getElementById(id)

async function readJson(path) {
  const response = await client.fetch(path)
  if (!response.ok) throw new Error(`Ellipsis Drive responded with status ${response.status}.`)
  return response.json()
}

// --- Map ---

const map = L.map('map', { minZoom: 2, maxZoom: 16, attributionControl: false })

/** The rasters on the map, and Leaflet's layers of them, by id. */
const shown = new Map()

async function createLayer({ id, raster }) {
  const { id: timestamp, extent } = raster.timestamps.at(-1)
  const path = `/path/${id}/raster/timestamp/${timestamp}/tile/{z}/{x}/{y}`
  const bounds = L.latLngBounds([extent.yMin, extent.xMin], [extent.yMax, extent.xMax])
  const layer = element('by-link').checked
    ? await createLinkLayer(L, client, path, { bounds, label: 'Sample map' })
    : createTokenLayer(L, client, path, { bounds })
  // A tile that fails can be the first sign of a revocation: ask the broker.
  return layer.once('tileerror', () => run(() => client.getToken({ force: true })))
}

async function show(item) {
  const layer = (await createLayer(item)).addTo(map)
  shown.set(item.id, { item, layer })
  return layer
}

function hide({ id }) {
  shown.get(id)?.layer.remove()
  shown.delete(id)
}

async function showAndZoom(item) {
  const { bounds } = (await show(item)).options
  const isVisible = shown.size > 1 && map.getBounds().intersects(bounds)
  if (!isVisible) map.setView(bounds.getCenter(), map.getBoundsZoom(bounds, true))
}

/** Draws all layers anew, by token or by link. */
async function redraw() {
  for (const { item } of [...shown.values()]) {
    hide(item)
    await show(item)
  }
}

// --- Drive ---

/** The path to the current folder. */
let breadcrumbs = []

async function listFolder() {
  const types = JSON.stringify(['folder', 'raster', 'vector', 'file', 'pointCloud', 'bookmark'])
  const { id } = breadcrumbs.at(-1)
  const path = id === null ? '/account/root/myDrive' : `/path/${id}/folder/list`
  const items = []
  let start = ''
  do {
    const page = await readJson(`${path}?pageSize=50&type=${encodeURIComponent(types)}${start}`)
    items.push(...page.result)
    start = page.nextPageStart ? `&pageStart=${page.nextPageStart}` : null
  } while (start)
  return items
}

function create(tag, properties, ...children) {
  const created = Object.assign(document.createElement(tag), properties)
  created.append(...children)
  return created
}

const createFolderButton = (path) =>
  create('button', { onclick: () => run(() => open(path)) }, path.at(-1).name)

function createRow(item) {
  const { id, name, type, metadata } = item
  if (type === 'folder') {
    return create('li', { className: type }, createFolderButton([...breadcrumbs, { id, name }]))
  }
  const text = create('span', {}, name, create('small', {}, metadata.description || type))
  if (type !== 'raster') return create('li', {}, text)
  const onchange = ({ target }) => run(() => (target.checked ? showAndZoom(item) : hide(item)))
  const box = create('input', { type: 'checkbox', checked: shown.has(id), onchange })
  return create('li', { className: type }, create('label', {}, box, text))
}

async function open(path) {
  breadcrumbs = path
  const items = await listFolder()
  const isFirst = path.length === 1 && shown.size === 0
  const first = isFirst && items.find(({ type }) => type === 'raster')
  if (first) await showAndZoom(first)
  const links = breadcrumbs.map((_, depth) => createFolderButton(breadcrumbs.slice(0, depth + 1)))
  element('trail').replaceChildren(...links)
  element('list').replaceChildren(...items.map(createRow))
  if (items.length === 0) element('list').append('This folder is empty.')
}

// --- Connection ---

/** Shows the drive if there is a connection. */
async function start() {
  const isConnected = await client.isConnected()
  document.body.className = isConnected ? 'connected' : 'disconnected'
  if (!isConnected) return shown.forEach(({ item }) => hide(item))
  map.invalidateSize()
  element('username').textContent = (await client.user()).username
  await open([{ id: null, name: 'My Drive' }])
}

function notify(...content) {
  element('notice').replaceChildren(...content)
  element('notice').hidden = content.length === 0
}

const NOTICES = {
  access_denied: ['You refused, so nothing was connected.'],
  // What the events below tell, and a second click on the button.
  ...{ invalid_token: [], reconnect_required: [], not_connected: [], cancelled: [] },
}
const showError = ({ code, message }) => notify(...(NOTICES[code] ?? [message]))

/** Whether the user ended the connection in this tab. */
let hasLeft = false

let last = Promise.resolve()

/** Runs an action after those before it, and shows its error. */
const run = (action) => (last = last.then(action).catch(showError))

// At once, not after other actions: browsers open popups only in a click.
const connect = () => client.connect({ popup: true }).catch(showError)

element('connect').onclick = connect
element('refresh').onclick = () => run(() => client.getToken({ force: true }).then(start))
element('disconnect').onclick = () =>
  run(() => {
    hasLeft = true
    return client.disconnect()
  })
element('mode').onchange = () => run(redraw)
run(() => client.handleRedirect())
run(start)
run(() => {
  client.on('connected', () => {
    hasLeft = false
    notify()
    run(start)
  })
  client.on('disconnected', () =>
    run(start).then(() => {
      const what = hasLeft ? 'You disconnected.' : 'This connection has ended.'
      notify(`${what} Connect again to see your drive.`)
    }),
  )
  client.on('reconnect-required', () => {
    const button = create('button', { onclick: connect }, 'Connect again')
    run(() => notify('Ellipsis Drive ended this connection. ', button))
  })
})
