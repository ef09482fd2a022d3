/** The type of `it` in each template. test/views/templates.test.ts checks all templates against it. */

import type { AdminModels, DeviceView, LinkView, OptionField, Shell } from './admin/models.ts'
import type { AttentionView, CountsView, UsageView } from './admin/monitoring.ts'
import type {
  GrantedScopes,
  Models,
  MyNotice,
  Operator,
  Permissions,
  ReferenceField,
} from './models.ts'
import type { Translator } from './translate.ts'
import type { TimeFormat } from './time.ts'

/** Functions that every page and layout can call. Texts are in English on pages of the dashboard. */
export interface Helpers extends Translator {
  /** The URL of a file under views/assets. */
  asset(name: string): string
  /** A path of the broker with its base path in front. */
  url(path: string): string
  /** Markup of a time, to be output with `<%~`; for `null`, the text `never`. Scripts show how long ago it is. */
  time(milliseconds: number | null, never?: string): string
  /** Markup of a time in a table or on an axis of times, where it stays one. */
  pointInTime(milliseconds: number, format: TimeFormat): string
}

/** The layouts; `body` is the page. */
interface Layouts {
  layout: { title: string; operator?: Operator; isWide?: boolean; body: string }
  'admin/layout': { title: string; shell: Shell; body: string }
}

/** Parts of pages. The including template passes the helpers that they call. */
interface Partials {
  'me-notice': MyNotice
  operator: Operator & Pick<Helpers, 'text' | 'markup'>
  scope: { scopes: GrantedScopes; permissions: Permissions; offline: boolean } & Pick<
    Helpers,
    'text' | 'markup'
  >
  'reference-text': { text: string }
  'reference-fields': { caption: string; fields: ReferenceField[] }
  'admin/app-options': { options: OptionField[] }
  'admin/attention': { attention: AttentionView[] } & Pick<Helpers, 'time' | 'url'>
  'admin/counts': CountsView
  'admin/devices': {
    title: string
    hasActions: boolean
    devices: DeviceView[]
    shell: Pick<Shell, 'mayChange'>
  } & Pick<Helpers, 'time' | 'url'>
  'admin/links': { links: LinkView[]; shell: Pick<Shell, 'mayChange'> } & Pick<
    Helpers,
    'time' | 'url'
  >
  'admin/pagination': { newer: string | null; older: string | null }
  'admin/password-field': { id: string; csrf: string; codeId: string | null }
  'admin/passkey-form': { action: string; csrf: string; next: string; label: string } & Pick<
    Helpers,
    'asset'
  >
  'admin/passkeys': Pick<
    AdminModels['admin/second-factor'],
    'passkeys' | 'since' | 'passkeySupport'
  > & {
    shell: Pick<Shell, 'csrf'>
  } & Helpers
  'admin/usage': UsageView & Pick<Helpers, 'pointInTime'>
}

/** The type of `it` by template name (its path from views/). */
export type Templates = Partials & {
  [Name in keyof Layouts]: Layouts[Name] & Helpers
} & {
  [Name in keyof Models]: Models[Name] & Helpers
} & {
  [Name in keyof AdminModels]: AdminModels[Name] & { shell: Shell } & Helpers
}
