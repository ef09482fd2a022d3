import { createHash } from 'node:crypto'

/** A UUID (version 8, RFC 9562 5.8) made from a name: the same name gives the same id at every start. */
export function stableId(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  const version = `8${hex.slice(13, 16)}`
  const variant = `a${hex.slice(17, 20)}`
  return [hex.slice(0, 8), hex.slice(8, 12), version, variant, hex.slice(20, 32)].join('-')
}
