/** The bytes of a file are not UTF-8. The message ends a sentence that begins with the file's name. */
export class EncodingError extends Error {
  override name = 'EncodingError'
}

/** What to do about an `EncodingError`. */
export const ENCODING_FIX = 'Save it as UTF-8.'

const BYTE_ORDER_MARK = Buffer.from('\uFEFF')

/**
 * The text of a file that a person or another system wrote: UTF-8, with or without a byte-order mark.
 * @throws EncodingError for another encoding
 */
export function decodeText(bytes: Uint8Array): string {
  if (isUtf16(bytes)) throw new EncodingError('is in UTF-16, not in UTF-8.')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new EncodingError('is not in UTF-8.')
  }
}

/** Do the bytes have UTF-16's byte-order mark, or the zero bytes of ASCII characters in UTF-16? */
export function isUtf16(bytes: Uint8Array): boolean {
  const [first, second] = bytes
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return true
  return bytes.includes(0)
}

/** The bytes without a UTF-8 byte-order mark, in whatever encoding they are. */
export const withoutByteOrderMark = (bytes: Buffer): Buffer =>
  bytes.indexOf(BYTE_ORDER_MARK) === 0 ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes
