import { Command, Option } from 'commander'
import type { Admin } from '../../db/store.ts'
import { hasPassword, hasSecondFactor } from '../admin/admins.ts'
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
    .description(
      'add an admin; prompts for the password, or with BROKER_ADMIN_PASSWORDS=false prints a link that signs in once',
    )
    .option('--password-stdin', 'read the password from standard input')
    .addOption(
      new Option('--role <role>', 'viewer: read-only access')
        .choices(['admin', 'viewer'])
        .default('admin'),
    )
    .action((email: string, { passwordStdin, role }: Flags) =>
      withServices(
        async ({ admins, signInLinks, config }) => {
          if (!config.adminPasswords) {
            const admin = await admins.find(email)
            const added = admin ?? (await admins.add(email, null, ACTOR, role))
            const link = signInLinks.create(added).reveal()
            print(`${admin ? 'There is already the' : 'Added'} ${added.role} ${added.email}.`)
            print('This link signs them in once, within an hour:')
            return print(`${config.publicUrl}/admin/sign-in/link/${link}`)
          }
          const added = await admins.add(email, await readPassword(passwordStdin), ACTOR, role)
          print(`Added ${added.role} ${added.email}.`)
          if (config.requireSecondFactor)
            print('They set up a second factor at their first sign-in.')
        },
        { create: true },
      ),
    )

  admin
    .command('list')
    .description('list all admins')
    .option('--json', 'print JSON')
    .action(({ json }: Flags) =>
      withServices(async ({ admins, config }) => {
        const all = (await admins.list()).map(toJson)
        if (json) return printJson(all)
        const rows = all.map((admin) => ({ ...admin, passkeys: String(admin.passkeys) }))
        printTable(rows, 'No admins yet. Add one with `admin add EMAIL`.')
        const lacking = all.filter(
          (admin) => admin.second_factor === 'no' && admin.sign_in.startsWith('password'),
        )
        if (!config.requireSecondFactor || lacking.length === 0) return
        const names = lacking.map(({ email }) => email).join(', ')
        print(
          `\nWithout the second factor that BROKER_REQUIRE_SECOND_FACTOR requires: ${names}. They set one up at their next sign-in.`,
        )
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
        const changed = await admins.setPassword(email, password, ACTOR)
        if (!changed) throw unknownAdmin(email)
        print(`Changed the password of ${email}.`)
        const count = changed.passkeyIds.length
        if (count === 0) return
        print(
          `They can still sign in without it, with ${countPasskeys(count)}. If you do not trust ${count === 1 ? 'it' : 'them'}, run \`admin remove-second-factor ${email}\`.`,
        )
      }),
    )

  admin
    .command('remove-second-factor <email>')
    .description(
      'remove a lost second factor and all passkeys; the admin then signs in with the password alone',
    )
    .action((email: string) =>
      withServices(async ({ secondFactors, passkeys }) => {
        const isDropped = await secondFactors.drop(email, ACTOR)
        const count = await passkeys.removeAll(email, ACTOR)
        if (!isDropped && count === 0) {
          throw new UsageError(`There is no admin ${email} with a second factor.`)
        }
        const parts = [
          ...(isDropped ? ['the authenticator app'] : []),
          ...(count > 0 ? [countPasskeys(count)] : []),
        ]
        print(`Removed ${parts.join(' and ')} of ${email}. Ask them to add a new one.`)
      }),
    )
  return admin
}

const unknownAdmin = (email: string): UsageError => new UsageError(`There is no admin ${email}.`)

const countPasskeys = (count: number): string => (count === 1 ? '1 passkey' : `${count} passkeys`)

/** How they sign in, such as `password, https://id.example.com (ada@example.com)`. */
function describeSignIn({ passwordHash, oidcIssuer, oidcLabel }: Admin): string {
  const ways = [
    ...(hasPassword({ passwordHash }) ? ['password'] : []),
    ...(oidcIssuer === null ? [] : [`${oidcIssuer} (${oidcLabel ?? ''})`]),
  ]
  return ways.length === 0 ? 'link' : ways.join(', ')
}

const toJson = (admin: Admin) => ({
  email: admin.email,
  role: admin.role,
  second_factor: hasSecondFactor(admin) ? 'yes' : 'no',
  passkeys: admin.passkeyIds.length,
  sign_in: describeSignIn(admin),
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
