import { BrokerError } from '../errors.ts'

/** A path of Ellipsis Drive's API, below its base, such as `/path/{id}/raster`. */
export interface DrivePath {
  /** Decoded. Rules of access policies are compared with these. */
  segments: string[]
  /** The segments, encoded again: this is what goes upstream, so policy and upstream read the same path. */
  path: string
  /** Empty, or `?` and the parameters as they were sent, without `token` and `access_token`. */
  query: string
}

/** More never arrives: Node accepts 16 KiB of headers, with the URL. */
const MAX_LENGTH_CHARS = 16_384
/** Names of parameters that carry a credential: at Ellipsis Drive, and in RFC 6750 2.3. */
const CREDENTIAL_NAMES = new Set(['token', 'access_token'])
/** No client encodes a name more often than that for a good reason. */
const MAX_NAME_DECODINGS = 3

/** `pchar` of RFC 3986 3.3, and `/`. */
const PATH_CHARACTERS = /^[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*$/
/** Browsers send some of what RFC 3986 3.4 excludes, such as brackets and braces. */
const QUERY_CHARACTERS = /^[!"$-~]*$/
/** Control, invisible, unassigned and private characters, and line separators. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/u
/** `;` begins matrix parameters; `?` and `#` would end the path if something decoded it twice. */
const SEPARATORS = /[/\\;?#]/
/** Slashes that look like one, and that some systems turn into one. */
const SLASH_LOOKALIKES = /[\u2044\u2215\u2216\u29f5\u29f8\u29f9]/
const STILL_ENCODED = /%(?:[0-9a-f]{2}|u)/i

/**
 * Reads what follows the prefix of the proxy in a request's URL. It refuses whatever two programs could read in
 * two ways; it repairs nothing.
 * @param rawPathAndQuery as received, not decoded: `/path/{id}/raster?style=…`
 * @throws BrokerError `invalid_request` with a reason that begins with `drive_path_` or `drive_query_`
 */
export function readDrivePath(rawPathAndQuery: string): DrivePath {
  if (rawPathAndQuery.length > MAX_LENGTH_CHARS) {
    throw refused(
      'path_too_long',
      `Send a path and query of at most ${MAX_LENGTH_CHARS} characters.`,
    )
  }
  const queryStart = rawPathAndQuery.indexOf('?')
  const end = queryStart < 0 ? rawPathAndQuery.length : queryStart
  const segments = readSegments(rawPathAndQuery.slice(0, end))
  const path = `/${segments.map(encodeURIComponent).join('/')}`
  return { segments, path, query: withoutCredentials(rawPathAndQuery.slice(end)) }
}

function readSegments(raw: string): string[] {
  if (!raw.startsWith('/')) throw refused('path_relative', 'Send a path that begins with a slash.')
  if (!PATH_CHARACTERS.test(raw)) {
    const description = 'Percent-encode every character of the path that RFC 3986 does not allow.'
    throw refused('path_characters', description)
  }
  return raw === '/' ? [] : raw.slice(1).split('/').map(readSegment)
}

function readSegment(raw: string): string {
  if (raw === '')
    throw refused('path_empty_segment', 'Send no empty segment: no // and no / at the end.')
  const segment = decode(raw)
  if (INVISIBLE.test(segment)) {
    throw refused('path_control_character', 'Send no control or invisible characters in the path.')
  }
  if (STILL_ENCODED.test(segment)) {
    throw refused('path_double_encoding', 'Encode each segment of the path once, not twice.')
  }
  if (SEPARATORS.test(segment)) {
    const description =
      'Send no slash, backslash, semicolon, ? or # within a segment, encoded or not.'
    throw refused('path_separator', description)
  }
  if (/^[\s.]*$/.test(segment) || segment !== segment.trim()) {
    const description = 'Send no segment of dots, and none that begins or ends with a space.'
    throw refused('path_dots', description)
  }
  checkUnicode(segment)
  return segment
}

function decode(raw: string): string {
  try {
    return decodeURIComponent(raw)
  } catch {
    throw refused('path_encoding', 'Percent-encode the path as UTF-8.')
  }
}

/** Refuses what normalisation, here or upstream, would turn into another segment or into several. */
function checkUnicode(segment: string): void {
  const description =
    'Send the path in Unicode’s form NFC, without characters that look like . / or \\.'
  const isNormal = segment === segment.normalize('NFC') && !SLASH_LOOKALIKES.test(segment)
  if (!isNormal || countSpecial(segment.normalize('NFKC')) !== countSpecial(segment)) {
    throw refused('path_unicode', description)
  }
}

/** Compatibility forms, such as fullwidth ones, become these characters. */
const countSpecial = (text: string): number => text.replaceAll(/[^./\\%;?#]/g, '').length

/** Keeps the order and encoding of everything else. */
function withoutCredentials(query: string): string {
  if (!QUERY_CHARACTERS.test(query)) {
    const description = 'Percent-encode spaces, # and non-ASCII characters of the query.'
    throw refused('query_characters', description)
  }
  const parts = partsOf(query)
  const isKept = (index: number) => !CREDENTIAL_NAMES.has(nameOf(parts[index] ?? ''))
  const kept = parts.flatMap((part, index) =>
    index % 2 === 0 && isKept(index) ? [parts[index - 1] ?? '', part] : [],
  )
  const joined = kept.slice(1).join('')
  return joined === '' ? '' : `?${joined}`
}

/** Parameters, with a separator after each but the last. Some programs also separate with `;`. */
const partsOf = (query: string): string[] => query.slice(1).split(/([&;])/)

/**
 * The parameters of a query, as the most generous program would read them: names in lower case and without what
 * follows a bracket or dot, values decoded.
 * @throws BrokerError `invalid_request`
 */
export const queryParameters = ({
  query,
}: Pick<DrivePath, 'query'>): [name: string, value: string][] =>
  partsOf(query)
    .filter((_part, index) => index % 2 === 0)
    .map((parameter) => {
      const [, value = ''] = /=(.*)$/.exec(parameter) ?? []
      return [nameOf(parameter), decodeFully(value)]
    })

/** `[token]`, `token[]`, `TOKEN` and ` token` are all read as `token` by some library. */
function nameOf(parameter: string): string {
  const [encoded = ''] = parameter.split('=', 1)
  const name = decodeFully(encoded).normalize('NFKC').toLowerCase()
  return name.split(/[[\].?=\s\p{C}]+/u).find((part) => part !== '') ?? ''
}

/** Decodes until nothing is encoded any more; also what is not UTF-8, and `%u0074`. */
function decodeFully(encoded: string): string {
  let bytes = encoded.replaceAll('+', ' ')
  for (let count = 0; /%(?:[0-9a-f]{2}|u[0-9a-f]{4})/i.test(bytes); count++) {
    if (count === MAX_NAME_DECODINGS) {
      throw refused('query_encoding', 'Encode each parameter of the query once.')
    }
    bytes = bytes.replaceAll(/%u([0-9a-f]{4})|%([0-9a-f]{2})/gi, (_all, unit, byte) =>
      unit === undefined
        ? String.fromCharCode(parseInt(byte as string, 16))
        : Buffer.from(String.fromCharCode(parseInt(unit as string, 16))).toString('latin1'),
    )
  }
  return Buffer.from(bytes, 'latin1').toString()
}

/** Paths come from the code of an app: a wrong one is no guess of a secret. */
const refused = (reason: string, description: string): BrokerError =>
  new BrokerError('invalid_request', { reason: `drive_${reason}`, description, isGuess: false })
