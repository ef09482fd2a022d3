/** Paths of links, with placeholders such as `{z}` that map libraries fill in; and what requests match them. */

import { BrokerError } from '../errors.ts'
import { queryParameters, readDrivePath } from './path.ts'
import type { DrivePath } from './path.ts'

/** `{z}`, `{-y}`, `{bbox-epsg-3857}`, `{TileMatrix}`. */
const PLACEHOLDER = /\{(-?[A-Za-z][A-Za-z0-9_-]*)\}/g
const ENCODED_PLACEHOLDER = /%7B(-?[A-Za-z][A-Za-z0-9_-]*)%7D/gi
/** Filled in with nothing, or with `@2x` for screens with more pixels. */
const RATIOS = ['r', 'ratio']
const RATIO_VALUE = '(?:@[0-9]x)?'
/** What takes the place of a placeholder: a number or name, never a separator. */
const VALUE = '[A-Za-z0-9._-]{1,64}'
/** More would take long to compare. */
const MAX_PLACEHOLDERS_OF_SEGMENT = 3

interface LinkPath {
  /** As it is stored and shown: normalised, with readable placeholders. */
  path: string
  isPrefix: boolean
}

/**
 * Checks and normalises the path of a new link.
 * @param path of Ellipsis Drive's API, with placeholders; its query parameters are fixed for every request
 * @throws BrokerError `invalid_request`
 */
export function readLinkPath(path: string, isPrefix: boolean): string {
  const given = isPrefix ? path.replace(/\/$/, '') || '/' : path
  const [, before = '', query = ''] = /^([^?]*)(.*)$/s.exec(given) ?? []
  const read = readDrivePath(before.replaceAll(PLACEHOLDER, '%7B$1%7D') + query)
  if (read.segments.length === 0) {
    throw refused('link_path_too_wide', 'Name at least one segment of a path: not the whole API.')
  }
  if (isPrefix && read.query !== '') {
    throw refused('link_prefix_query', 'Send a path without a query for a link to all below it.')
  }
  const isAmbiguous = read.segments.some(
    (segment) => [...segment.matchAll(PLACEHOLDER)].length > MAX_PLACEHOLDERS_OF_SEGMENT,
  )
  if (isAmbiguous) {
    const description = `Use at most ${MAX_PLACEHOLDERS_OF_SEGMENT} placeholders between two slashes.`
    throw refused('link_placeholders', description)
  }
  return read.path.replaceAll(ENCODED_PLACEHOLDER, '{$1}') + read.query
}

/**
 * The request that goes to Ellipsis Drive, with the link's fixed parameters; `null`: the link does not give
 * access to this path.
 */
export function matchLink(link: LinkPath, request: DrivePath): DrivePath | null {
  // A query may contain further question marks.
  const [, pathname = '', fixedQuery = ''] = /^([^?]*)\??(.*)$/s.exec(link.path) ?? []
  const templates = pathname.slice(1).split('/')
  const { segments } = request
  const isLength = link.isPrefix
    ? segments.length >= templates.length
    : segments.length === templates.length
  if (!isLength) return null
  const isMatch = templates.every((template, at) => matchesSegment(template, segments[at] ?? ''))
  return isMatch ? { ...request, query: fixParameters(fixedQuery, request.query) } : null
}

function matchesSegment(template: string, segment: string): boolean {
  // Names at odd positions, the text around them at even ones.
  const parts = template.split(PLACEHOLDER)
  if (parts.length === 1) return decodeURIComponent(template) === segment
  const sources = parts.map((part, at) => {
    if (at % 2 === 0) return escape(decodeURIComponent(part))
    return RATIOS.includes(part) ? RATIO_VALUE : VALUE
  })
  return new RegExp(`^${sources.join('')}$`, 'u').test(segment)
}

/** The text, for a regular expression. */
const escape = (text: string): string => text.replaceAll(/[\^$\\.*+?()[\]{}|/]/g, '\\$&')

/**
 * Parameters of the link replace those of the request that have the same name in any case: OGC services read
 * names without regard to it, and a map adds its own to those that the URL has. One with a placeholder is the
 * map's to fill in.
 */
function fixParameters(linkQuery: string, requestQuery: string): string {
  const fixed = parametersOf(linkQuery).filter((one) => one.search(PLACEHOLDER) < 0)
  if (fixed.length === 0) return requestQuery
  const names = new Set(fixed.flatMap(namesOf))
  const free = parametersOf(requestQuery.slice(1)).filter(
    (one) => !namesOf(one).some((name) => names.has(name)),
  )
  return `?${[...fixed, ...free].join('&')}`
}

const parametersOf = (query: string): string[] => query.split('&').filter((one) => one !== '')

const namesOf = (parameter: string): string[] =>
  queryParameters({ query: `?${parameter}` }).map(([name]) => name)

const refused = (reason: string, description: string): BrokerError =>
  new BrokerError('invalid_request', { reason, description, isGuess: false })
