import { Command, Option } from 'commander'
import type { Admin } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import { ACTOR, withServices } from './with-services.ts'
import {
  UsageError,
  askHidden,
  formatTime,
  print,
  printJson,
  printTable,
  readInput,
} from './terminal.ts'

interface Flags {
  passwordStdin?: boolean
  role?: Admin['role']
  json?: boolean
}

/** `admin`: the people who may use the dashboard. */
export function adminCommand(): Command {
  const admin = new Command('admin').description('manage the admins of the dashboard')

  admin
    .command('add <email>')
    .description('add an admin; prompts for the password')
    .option('--password-stdin', 'read the password from standard input')
    .addOption(
      new Option('--role <role>', 'viewer: read-only access')
        .choices(['admin', 'viewer'])
        .default('admin'),
    )
    .action((email: string, { passwordStdin, role }: Flags) =>
      withServices(
        async ({ admins }) => {
          const added = await admins.add(email, await readPassword(passwordStdin), ACTOR, role)
          print(`Added ${added.role} ${added.email}.`)
        },
        { create: true },
      ),
    )

  admin
    .command('list')
    .description('list all admins')
    .option('--json', 'print JSON')
    .action(({ json }: Flags) =>
      withServices(async ({ admins }) => {
        const all = (await admins.list()).map(toJson)
        if (json) return printJson(all)
        printTable(all, 'No admins yet. Add one with `admin add EMAIL`.')
      }),
    )

  admin
    .command('remove <email>')
    .description('remove an admin and end their sessions')
    .action((email: string) =>
      withServices(async ({ admins }) => {
        if ((await admins.remove(email, ACTOR)) === 'none') throw unknownAdmin(email)
        print(`Removed ${email}.`)
      }),
    )

  admin
    .command('reset-password <email>')
    .description('set a new password; prompts for it')
    .option('--password-stdin', 'read the password from standard input')
    .action((email: string, { passwordStdin }: Flags) =>
      withServices(async ({ admins }) => {
        const password = await readPassword(passwordStdin)
        if (!(await admins.setPassword(email, password, ACTOR))) throw unknownAdmin(email)
        print(`Changed the password of ${email}.`)
      }),
    )

  admin
    .command('remove-second-factor <email>')
    .description('remove a lost second factor; the admin then signs in with the password alone')
    .action((email: string) =>
      withServices(async ({ secondFactors }) => {
        if (!(await secondFactors.drop(email, ACTOR))) {
          throw new UsageError(`There is no admin ${email} with a second factor.`)
        }
        print(`Removed the second factor of ${email}. Ask them to add a new one.`)
      }),
    )
  return admin
}

const unknownAdmin = (email: string): UsageError => new UsageError(`There is no admin ${email}.`)

const toJson = (admin: Admin) => ({
  email: admin.email,
  role: admin.role,
  second_factor: admin.secondFactorSince === null ? 'no' : 'yes',
  created_at: formatTime(admin.createdAt),
})

async function readPassword(fromStdin?: boolean): Promise<Secret> {
  if (fromStdin) return new Secret((await readInput()).replace(/\r?\n$/, ''))
  if (!process.stdin.isTTY) {
    throw new UsageError('No terminal to prompt for the password: use --password-stdin.')
  }
  const password = await askHidden('Password: ')
  if ((await askHidden('Repeat password: ')) === password) return new Secret(password)
  throw new UsageError('The passwords do not match.')
}
