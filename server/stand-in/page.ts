import { createHash } from 'node:crypto'
import type { FastifyReply } from 'fastify'

/** Escaped HTML. Created with the `html` template tag. */
class Html {
  readonly markup: string

  constructor(markup: string) {
    this.markup = markup
  }
}

type Value = string | number | Html | Value[]

/** Template tag for HTML. Values are escaped unless they are `Html`; lists are joined. */
export function html(parts: TemplateStringsArray, ...values: Value[]): Html {
  const markup = parts.map((part, index) => part + render(values[index] ?? ''))
  return new Html(markup.join(''))
}

function render(value: Value): string {
  if (value instanceof Html) return value.markup
  return Array.isArray(value) ? value.map(render).join('') : escape(String(value))
}

const escape = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')

const STYLE = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0; }
.banner { padding: .6rem 1rem; background: #7a3b00; color: #fff; font-weight: 600; text-align: center; }
main { max-width: 42rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
form { margin: 1rem 0; display: flex; flex-wrap: wrap; gap: .75rem; }
button { font: inherit; min-height: 2.75rem; padding: .4rem 1.25rem; border: 1px solid #767676;
  border-radius: .4rem; background: Canvas; color: CanvasText; cursor: pointer; }
button.first { background: #00687f; border-color: #00687f; color: #fff; }
button:focus-visible { outline: 3px solid #e09100; outline-offset: 2px; }
dt { font-weight: 600; margin-top: .75rem; }
dd { margin-left: 1rem; }
pre { padding: .75rem; border: 1px solid #767676; white-space: pre-wrap; }
`
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64')

/** No `form-action`: browsers apply it also to the redirects after a form, which lead to the client. */
const CONTENT_SECURITY_POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'`

/** Not in the page's template, because a formatter would change the hashed text. */
const styleElement = new Html(`<style>${STYLE}</style>`)

/** Sends a page with a banner that says that this is not Ellipsis Drive. */
export function sendPage(reply: FastifyReply, title: string, content: Html): FastifyReply {
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} · stand-in for Ellipsis Drive</title>
        ${styleElement}
      </head>
      <body>
        <div class="banner" role="note">
          A local stand-in for development. This is not Ellipsis Drive.
        </div>
        <main>
          <h1>${title}</h1>
          ${content}
        </main>
      </body>
    </html>`
  return reply
    .type('text/html; charset=utf-8')
    .header('content-security-policy', CONTENT_SECURITY_POLICY)
    .header('cache-control', 'no-store')
    .send(page.markup)
}
