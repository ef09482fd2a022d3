const BROWSERS: [RegExp, string][] = [
  [/\bEdgA?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
  [/\b(Headless)?Chrome\/|\bCriOS\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
]

const SYSTEMS: [RegExp, string][] = [
  [/\bAndroid\b/, 'Android'],
  [/\b(iPhone|iPad)\b/, 'iOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
]

const findName = (table: [RegExp, string][], text: string): string | undefined =>
  table.find(([pattern]) => pattern.test(text))?.[1]

/** A readable name of a device, from its `User-Agent`: "Firefox on Android". Not an identifier. */
export function deviceLabel(userAgent = ''): string {
  const browser = findName(BROWSERS, userAgent) ?? 'Unknown browser'
  const system = findName(SYSTEMS, userAgent)
  return system === undefined ? browser : `${browser} on ${system}`
}

/** The same for a program without a browser, such as a device flow client: "A device (curl)". */
export function programLabel(userAgent = ''): string {
  if (/^Mozilla\//.test(userAgent)) return deviceLabel(userAgent)
  const product = /^[\w.-]{1,40}/.exec(userAgent)
  return product ? `A device (${product[0]})` : 'A device'
}
