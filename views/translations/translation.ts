import type { en } from './en.ts'

/** A text of a page. */
export type TextKey = keyof typeof en

/**
 * Why a request failed, as in the log, for the errors that users see. In English, their pages show the description
 * of the error itself.
 */
export const PAGE_ERRORS = [
  ...(['flow_unknown', 'state_missing', 'app_removed', 'redirect_uri_removed'] as const),
  ...(['access_policy_changed', 'device_code_expired', 'pushed_request_used'] as const),
  ...(['other_account', 'upstream_sent_no_code', 'upstream_unavailable'] as const),
  ...(['upstream_error', 'upstream_refused_code', 'own_client_refused'] as const),
  ...(['session_option_changed', 'account_unknown', 'upstream_sent_no_refresh_token'] as const),
  ...(['form_expired', 'form_of_another_site', 'embedded', 'unknown_client'] as const),
  ...(['redirect_uri_mismatch', 'prompt_none'] as const),
]
export type PageError = (typeof PAGE_ERRORS)[number]

/** Another language than English. */
export interface Translation {
  texts: Record<TextKey, string>
  errors: Record<PageError, string>
}
