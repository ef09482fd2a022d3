/** Markup that is safe to send. Only `html` makes it. */
export class Html {
  readonly markup: string

  constructor(markup: string) {
    this.markup = markup
  }
}

type Value = string | number | Html | Value[]

/** Template tag: what is put in is escaped, unless it is `Html` itself. Lists are joined. */
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
