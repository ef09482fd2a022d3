export const WEBHOOKS_PATH = '/admin/webhooks'
export type WebhookPath = `${typeof WEBHOOKS_PATH}/${string}`

/** The page of an endpoint, or of the program of BROKER_ON_EVENT. */
export const webhookPath = (id: string): WebhookPath => `${WEBHOOKS_PATH}/${id}`
