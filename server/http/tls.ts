import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Server } from 'node:tls'
import type { Config } from '../config/config.ts'
import type { Logger } from '../log.ts'
import { StartError } from '../data/start-error.ts'
import { withoutByteOrderMark } from '../text-encoding.ts'

/** A certificate with its chain, and its private key, as PEM. */
interface Certificate {
  cert: Buffer
  key: Buffer
}

const CHECK_INTERVAL_MS = 60_000

/**
 * Reads the certificate and its key.
 * @throws StartError if they cannot be read or do not match
 */
export function readCertificate({ certFile, keyFile }: NonNullable<Config['tls']>): Certificate {
  try {
    const certificate = { cert: readPem(certFile), key: readPem(keyFile) }
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
