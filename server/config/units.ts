import { existsSync, globSync, readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

/**
 * The brokers that this machine runs as systemd services, as their unit files describe them. Reading the files
 * works without systemd, also as an unprivileged user.
 */
export interface InstalledService {
  /** Names of the units, such as `ellipsis-broker.service`. */
  units: string[]
  /** Its `WorkingDirectory=`. */
  directory: string
  /** Absolute path of the file that `serve` itself reads: its `--env-file`, or `.env` in the directory. */
  ownFile: string
  /** Its `Environment=`, which overrides `ownFile`. */
  environment: Record<string, string>
  /** Absolute paths of its `EnvironmentFile=`s; each overrides what is before it. */
  files: string[]
}

/** Where systemd looks for units (systemd.unit(5)); the first unit with a name is used. */
const UNIT_FOLDERS = ['etc', 'run', 'usr/local/lib', 'usr/lib'].map(
  (place) => `${place}/systemd/system`,
)

/** The service of deploy/ellipsis-broker.service, on machines without a unit but with its settings file. */
const DEFAULT_SERVICE: InstalledService = {
  units: [],
  directory: '/',
  ownFile: '/.env',
  environment: { BROKER_DATA_DIR: '/var/lib/ellipsis-broker' },
  files: ['/etc/ellipsis-broker.env'],
}

/**
 * The installed services. Units that share settings files and data directory, such as the instances of a
 * template, are one service.
 * @param root the root directory of the system
 */
export function listServices(root = '/'): InstalledService[] {
  const services = new Map<string, InstalledService>()
  const parsed = [...readUnits(root)].flatMap(([name, text]) =>
    expandInstances(parseUnit(name, text), root),
  )
  for (const service of parsed) {
    const { directory, ownFile, environment, files } = service
    const key = JSON.stringify([directory, ownFile, environment.BROKER_DATA_DIR, files])
    const units = [...(services.get(key)?.units ?? []), ...service.units]
    services.set(key, { ...service, units })
  }
  const found = services.size > 0 ? [...services.values()] : [DEFAULT_SERVICE]
  return found
    .map((service) => ({
      ...service,
      ownFile: join(root, service.ownFile),
      files: service.files.map((file) => join(root, file)),
    }))
    .filter(({ units, files }) => units.length > 0 || files.every((file) => existsSync(file)))
}

/** A template whose settings file has the instance's name (`%i`) is one service for each file. */
function expandInstances(service: InstalledService, root: string): InstalledService[] {
  const pattern = service.files.find((file) => file.includes('%i'))
  if (pattern === undefined) return [service]
  const [start = '', end = ''] = join(root, pattern).split('%i')
  return globSync(`${start}*${end}`)
    .sort()
    .map((file) => {
      const instance = file.slice(start.length, file.length - end.length)
      return JSON.parse(JSON.stringify(service).replaceAll('%i', instance)) as InstalledService
    })
}

/** Name and text of each unit that runs `ellipsis-broker … serve`, with its drop-ins appended. */
function readUnits(root: string): Map<string, string> {
  const folders = UNIT_FOLDERS.map((folder) => join(root, folder))
  const isOurs = (name: string) => /^ellipsis-broker.*\.service$/.test(name)
  const units = new Map<string, string>()
  for (const folder of folders) {
    for (const name of list(folder).filter(isOurs)) {
      if (!units.has(name)) units.set(name, read(join(folder, name)))
    }
  }
  for (const [name, text] of units) {
    const dropIns = folders.flatMap((folder) =>
      list(join(folder, `${name}.d`)).map(
        (file) => [file, join(folder, `${name}.d`, file)] as const,
      ),
    )
    // A file replaces those of the same name in later folders.
    const used = new Map(dropIns.filter(([file]) => file.endsWith('.conf')).reverse())
    const texts = [...used]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([, path]) => read(path))
    units.set(name, [text, ...texts].join('\n'))
  }
  const serves = /^\s*ExecStart\s*=.*ellipsis-broker\b.*\sserve\b/m
  return new Map([...units].filter(([, text]) => serves.test(text)))
}

/** What the `[Service]` sections of a unit set (systemd.exec(5)). An empty value resets a setting. */
function parseUnit(unit: string, text: string): InstalledService {
  const values: Record<string, string[]> = {}
  let section = ''
  for (const line of text.split(/\r?\n/)) {
    section = /^\s*\[(.*)\]\s*$/.exec(line)?.[1] ?? section
    const [, name = '', value = ''] = /^\s*(\w+)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (section === 'Service') values[name] = value === '' ? [] : [...(values[name] ?? []), value]
  }
  const directory = values.WorkingDirectory?.at(-1)?.replace(/^-/, '') ?? '/'
  const assignments = (values.Environment ?? []).flatMap(splitWords).map((word) => {
    const at = word.indexOf('=')
    return [word.slice(0, at), word.slice(at + 1)] as const
  })
  const envFile = /\s--env-file[ =](\S+)/.exec(values.ExecStart?.at(-1) ?? '')?.[1]
  return {
    units: [unit],
    directory,
    ownFile: resolve(directory, envFile ?? '.env'),
    environment: Object.fromEntries(assignments),
    // A leading dash: the file may be missing.
    files: (values.EnvironmentFile ?? []).map((file) => file.replace(/^-/, '')),
  }
}

/** Words of a line, without their quotation marks. */
const splitWords = (line: string): string[] =>
  (line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? []).map((word) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, '$1$2'),
  )

/** The names in a folder, sorted; none if it can't be read. */
function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}

/** A unit file's text, with continued lines joined; empty if it can't be read. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\\\r?\n/g, ' ')
  } catch {
    return ''
  }
}
