// All the code that an app without a back end needs to use the broker. Copy it freely.

const { brokerUrl, clientId, apiUrl } = await (await fetch('/config.json')).json()
const redirectUri = `${location.origin}/`
const element = (id) => document.getElementById(id)

// --- Connect: OAuth authorization code flow with PKCE ---

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')

async function connect() {
  const state = base64url(crypto.getRandomValues(new Uint8Array(16)))
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)))
  const challenge = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  sessionStorage.setItem('flow', JSON.stringify({ state, verifier }))
  const parameters = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    state,
    code_challenge: base64url(challenge),
    code_challenge_method: 'S256',
  })
  location.assign(`${brokerUrl}/oauth/authorize?${parameters}`)
}

// Handles the authorization response: the URL has a code or an error.
async function handleRedirect() {
  const response = new URLSearchParams(location.search)
  if (!response.has('state')) return
  history.replaceState(null, '', '/')
  const flow = JSON.parse(sessionStorage.getItem('flow') ?? '{}')
  sessionStorage.removeItem('flow')
  if (response.get('state') !== flow.state || response.get('iss') !== brokerUrl) {
    throw new Error('This response does not match a request of this page. Connect again.')
  }
  if (response.get('error') === 'access_denied')
    throw new Error('You refused, so nothing was connected.')
  if (response.has('error'))
    throw new Error(response.get('error_description') ?? response.get('error'))
  const { access_token: brokerToken } = await post('/oauth/token', {
    grant_type: 'authorization_code',
    client_id: clientId,
    redirect_uri: redirectUri,
    code: response.get('code'),
    code_verifier: flow.verifier,
  })
  localStorage.setItem('broker_token', brokerToken)
}

async function post(path, form) {
  const response = await fetch(brokerUrl + path, {
    method: 'POST',
    body: new URLSearchParams(form),
  })
  const text = await response.text()
  const body = text === '' ? {} : JSON.parse(text)
  if (!response.ok) throw new BrokerError(body)
  return body
}

class BrokerError extends Error {
  constructor({ error, error_description }) {
    super(error_description)
    this.code = error
  }
}

// --- Swap: broker token in, access token out. The broker caches: call it before each request. ---

async function getAccessToken() {
  const response = await fetch(`${brokerUrl}/exchange`, {
    method: 'POST',
    headers: { authorization: `Bearer ${localStorage.getItem('broker_token')}` },
  })
  const body = await response.json()
  if (!response.ok) throw new BrokerError(body)
  if (body.broker_token) localStorage.setItem('broker_token', body.broker_token)
  return body.access_token
}

async function callEllipsis(path) {
  const headers = { authorization: `Bearer ${await getAccessToken()}` }
  const response = await fetch(apiUrl + path, { headers })
  if (!response.ok) throw new Error(`Ellipsis Drive responded with status ${response.status}.`)
  return response.json()
}

async function disconnect() {
  await post('/oauth/revoke', { client_id: clientId, token: localStorage.getItem('broker_token') })
  localStorage.removeItem('broker_token')
}

// --- Page ---

// The path to the current folder.
let breadcrumbs = [{ id: null, name: 'My Drive' }]

async function listFolder() {
  const types = JSON.stringify(['folder', 'raster', 'vector', 'file', 'pointCloud', 'bookmark'])
  const { id } = breadcrumbs.at(-1)
  const path = id === null ? '/account/root/myDrive' : `/path/${id}/folder/list`
  const items = []
  let start = ''
  do {
    const page = await callEllipsis(`${path}?pageSize=50&type=${encodeURIComponent(types)}${start}`)
    items.push(...page.result)
    start = page.nextPageStart ? `&pageStart=${page.nextPageStart}` : null
  } while (start)
  return items
}

function createButton(text, action) {
  const button = document.createElement('button')
  button.textContent = text
  button.addEventListener('click', () => void show(action))
  return button
}

function render(items) {
  const goTo = (depth) => () => (breadcrumbs = breadcrumbs.slice(0, depth))
  element('trail').replaceChildren(
    ...breadcrumbs.map(({ name }, index) => createButton(name, goTo(index + 1))),
  )
  const rows = items.map(({ id, name, type }) => {
    const row = document.createElement('li')
    row.className = type
    row.append(type === 'folder' ? createButton(name, () => breadcrumbs.push({ id, name })) : name)
    const label = document.createElement('small')
    label.textContent = type
    row.append(' ', label)
    return row
  })
  element('list').replaceChildren(...rows)
  if (rows.length === 0) element('list').append('This folder is empty.')
}

// Runs the action, then shows the current folder, or the error.
async function show(action = () => {}) {
  element('notice').hidden = true
  try {
    await action()
    if (localStorage.getItem('broker_token')) {
      element('username').textContent = (await callEllipsis('/account')).username
      render(await listFolder())
    }
  } catch (error) {
    showError(error)
  }
  const connected = localStorage.getItem('broker_token') !== null
  element('disconnected').hidden = connected
  element('drive').hidden = !connected
}

function showError(error) {
  const notice = element('notice')
  notice.hidden = false
  notice.textContent = error.message
  if (error.code === 'invalid_token') {
    notice.textContent = 'This connection has ended. Connect again to see your drive.'
    localStorage.removeItem('broker_token')
  }
  if (error.code === 'reconnect_required') {
    // Apps that cannot start the flow themselves, such as nightly jobs, send reconnect_url to the user.
    notice.replaceChildren('Ellipsis Drive ended this connection. ')
    notice.append(createButton('Connect again', connect))
  }
}

element('connect').addEventListener('click', () => void connect())
element('refresh').addEventListener('click', () => void show())
element('disconnect').addEventListener('click', () => void show(disconnect))
await show(handleRedirect)
