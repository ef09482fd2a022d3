const BROWSERS: [RegExp, string][] = [
  [/\bEdgA?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
  [/\bChrome\/|\bCriOS\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
]

const SYSTEMS: [RegExp, string][] = [
  [/\bAndroid\b/, 'Android'],
  [/\b(iPhone|iPad)\b/, 'iOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
]

const find = (table: [RegExp, string][], text: string): string | undefined =>
  table.find(([pattern]) => pattern.test(text))?.[1]

/** What people would call a device, from its `User-Agent`: "Firefox on Android". A label, no identity. */
export function deviceLabel(userAgent = ''): string {
  const browser = find(BROWSERS, userAgent) ?? 'Unknown browser'
  const system = find(SYSTEMS, userAgent)
  return system === undefined ? browser : `${browser} on ${system}`
}

/** What people would call a program on a device without a browser, from its `User-Agent`. A label, no identity. */
export function programLabel(userAgent = ''): string {
  if (/^Mozilla\//.test(userAgent)) return deviceLabel(userAgent)
  const product = /^[\w.-]{1,40}/.exec(userAgent)
  return product ? `A device (${product[0]})` : 'A device'
}
