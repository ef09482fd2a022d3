import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Server } from 'node:tls'
import type { Config } from '../config/config.ts'
import type { Logger } from '../log.ts'
import { StartError } from '../data/start-error.ts'
import { withoutByteOrderMark } from '../text-encoding.ts'

/**
 * TLS 1.2 and 1.3; with 1.2 only ciphers with forward secrecy and authenticated encryption (RFC 9325 3.1.1, 4.2).
 */
const PROTOCOLS = {
  minVersion: 'TLSv1.2',
  ciphers: [
    ...['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'],
    ...['ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'],
    ...['ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
    ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'],
  ].join(':'),
} as const

/** A certificate with its chain, its private key as PEM, and the protocols that it is used with. */
type Certificate = { cert: Buffer; key: Buffer } & typeof PROTOCOLS

const CHECK_INTERVAL_MS = 60_000

/**
 * Reads the certificate and its key.
 * @throws StartError if they cannot be read or do not match
 */
export function readCertificate({ certFile, keyFile }: NonNullable<Config['tls']>): Certificate {
  try {
    const certificate = { cert: readPem(certFile), key: readPem(keyFile), ...PROTOCOLS }
    createSecureContext(certificate)
    return certificate
  } catch (cause) {
    throw new StartError(
      `BROKER_TLS_CERT (${certFile}) and BROKER_TLS_KEY (${keyFile}) cannot be used.\n` +
        'Set them to readable PEM files: the certificate with its chain, and its private key.',
      { cause },
    )
  }
}

/** OpenSSL does not find a PEM block that follows a byte-order mark. */
const readPem = (file: string): Buffer => withoutByteOrderMark(readFileSync(file))

/**
 * Loads a renewed certificate without a restart: checks the files every minute, and on SIGHUP. If the new
 * files cannot be used, logs it once and keeps the current certificate. Returns a function that stops this.
 */
export function watchCertificate(
  server: Pick<Server, 'setSecureContext'>,
  files: NonNullable<Config['tls']>,
  log: Pick<Logger, 'info' | 'error'>,
): () => void {
  let current = readCertificate(files)
  let lastError = ''
  const reload = (): void => {
    try {
      const next = readCertificate(files)
      lastError = ''
      if (next.cert.equals(current.cert) && next.key.equals(current.key)) return
      server.setSecureContext(next)
      current = next
      log.info({ certificate: files.certFile }, 'loaded the renewed certificate')
    } catch (error) {
      const { message } = error as Error
      if (message === lastError) return
      lastError = message
      log.error({ err: error }, 'cannot load the renewed certificate; still using the current one')
    }
  }
  const timer = setInterval(reload, CHECK_INTERVAL_MS).unref()
  process.on('SIGHUP', reload)
  return () => {
    clearInterval(timer)
    process.off('SIGHUP', reload)
  }
}
