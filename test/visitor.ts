/** A page that a `Visitor` has loaded. */
export interface Page {
  url: string
  status: number
  headers: Headers
  body: string
}

/** A minimal browser: cookies per origin, redirects and forms, but no scripts. */
export class Visitor {
  readonly #cookies = new Map<string, Map<string, string>>()
  readonly userAgent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

  /** Opens an address and follows redirects. Stops before a redirect to `stopAt`. */
  async open(url: string, stopAt?: string, init: RequestInit = {}): Promise<Page> {
    const origin = new URL(url).origin
    const headers = new Headers(init.headers)
    headers.set('user-agent', this.userAgent)
    headers.set('accept', 'text/html')
    const cookies = [...(this.#cookies.get(origin) ?? [])].map((pair) => pair.join('='))
    if (cookies.length > 0) headers.set('cookie', cookies.join('; '))
    const response = await fetch(url, { ...init, headers, redirect: 'manual' })
    this.#storeCookies(origin, response.headers.getSetCookie())
    const body = await response.text()
    const location = response.headers.get('location')
    if (location === null) return { url, status: response.status, headers: response.headers, body }
    const next = new URL(location, url).href
    if (stopAt !== undefined && next.startsWith(stopAt)) {
      return { url: next, status: response.status, headers: response.headers, body: '' }
    }
    return this.open(next, stopAt)
  }

  /** Submits the form with the button of that label. `fields` add to or replace the form's values. */
  async press(
    page: Page,
    button: string,
    fields: Record<string, string> = {},
    stopAt?: string,
  ): Promise<Page> {
    const form = findForm(page.body, button)
    const values = { ...form.fields, ...fields }
    const action = new URL(form.action ?? page.url, page.url)
    if (form.method === 'get') {
      action.search = new URLSearchParams(values).toString()
      return this.open(action.href, stopAt)
    }
    return this.open(action.href, stopAt, {
      method: 'POST',
      body: new URLSearchParams(values),
      headers: { origin: new URL(page.url).origin },
    })
  }

  cookies(origin: string): Map<string, string> {
    return this.#cookies.get(origin) ?? new Map<string, string>()
  }

  #storeCookies(origin: string, lines: string[]): void {
    const jar = this.#cookies.get(origin) ?? new Map<string, string>()
    this.#cookies.set(origin, jar)
    for (const line of lines) {
      const [pair = '', ...attributes] = line.split(/; */)
      const [name = '', ...value] = pair.split('=')
      const isExpired = attributes.some((text) => /^max-age=0$/i.test(text) || /1970/.test(text))
      if (isExpired) jar.delete(name)
      else jar.set(name, value.join('='))
    }
  }
}

interface Form {
  action: string | undefined
  method: string
  fields: Record<string, string>
}

function findForm(html: string, button: string): Form {
  for (const [, attributes = '', inside = ''] of html.matchAll(/<form([^>]*)>(.*?)<\/form>/gs)) {
    const buttons = [...inside.matchAll(/<button([^>]*)>(.*?)<\/button>/gs)]
    const match = buttons.find(
      ([, , text = '']) => unescape(text.replace(/<[^>]*>/g, '')).trim() === button,
    )
    if (!match) continue
    const inputs = [...inside.matchAll(/<input([^>]*)>/gs)].map(([, text = '']) => text)
    const pairs = [...inputs, match[1] ?? ''].flatMap((text) => {
      const name = attribute(text, 'name')
      const isUnchecked = /type="?(radio|checkbox)/.test(text) && !/\bchecked\b/.test(text)
      return name === undefined || isUnchecked
        ? []
        : [[name, attribute(text, 'value') ?? ''] as const]
    })
    const method = (attribute(attributes, 'method') ?? 'get').toLowerCase()
    return { action: attribute(attributes, 'action'), method, fields: Object.fromEntries(pairs) }
  }
  throw new Error(`no button "${button}" in:\n${html.slice(0, 2000)}`)
}

const attribute = (tag: string, name: string): string | undefined => {
  const value = new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1]
  return value === undefined ? undefined : unescape(value)
}

const unescape = (text: string): string =>
  text
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
