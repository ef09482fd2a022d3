/**
 * A name from elsewhere, for text that takes no markup: without characters that could turn what is
 * around it, and isolated, as in HTML's `<bdi>` (UAX #9, 2.4).
 */
export const plainName = (name: string): string =>
  `\u2068${name.replace(/\p{Bidi_Control}|\p{Cc}/gu, '')}\u2069`
