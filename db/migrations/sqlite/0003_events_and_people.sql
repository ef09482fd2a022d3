CREATE TABLE `deliveries` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`sink_id` text NOT NULL,
	`event_id` integer NOT NULL,
	`connection_id` text,
	`status` text NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`next_at` integer,
	`answer` integer,
	`error` text,
	`created_at` integer NOT NULL,
	`attempted_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `deliveries_sink` ON `deliveries` (`sink_id`,`id`);--> statement-breakpoint
CREATE UNIQUE INDEX `deliveries_event` ON `deliveries` (`event_id`,`sink_id`);--> statement-breakpoint
CREATE INDEX `deliveries_due` ON `deliveries` (`sink_id`,`next_at`) WHERE "deliveries"."next_at" is not null;--> statement-breakpoint
CREATE INDEX `deliveries_next` ON `deliveries` (`next_at`) WHERE "deliveries"."next_at" is not null;--> statement-breakpoint
CREATE INDEX `deliveries_failed` ON `deliveries` (`sink_id`,`id`) WHERE "deliveries"."status" = 'failed';--> statement-breakpoint
CREATE INDEX `deliveries_pending` ON `deliveries` (`sink_id`,`connection_id`,`id`) WHERE "deliveries"."status" = 'pending';--> statement-breakpoint
CREATE INDEX `deliveries_created` ON `deliveries` (`created_at`);--> statement-breakpoint
CREATE TABLE `outbox` (
	`id` integer PRIMARY KEY NOT NULL,
	`last_event_id` integer NOT NULL,
	`lease_owner` text,
	`lease_until` integer
);
--> statement-breakpoint
CREATE TABLE `webhooks` (
	`id` text PRIMARY KEY NOT NULL,
	`url` text NOT NULL,
	`app_id` text,
	`types` text NOT NULL,
	`signing` text NOT NULL,
	`secret` integer NOT NULL,
	`public_key` text,
	`previous_secret` integer,
	`previous_secret_until` integer,
	`created_at` integer NOT NULL,
	`disabled_at` integer,
	`disabled_reason` text,
	`after_event_id` integer NOT NULL,
	FOREIGN KEY (`secret`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`previous_secret`) REFERENCES `sealed`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
ALTER TABLE `admins` ADD `oidc_issuer` text;--> statement-breakpoint
ALTER TABLE `admins` ADD `oidc_subject` text;--> statement-breakpoint
ALTER TABLE `admins` ADD `oidc_label` text;--> statement-breakpoint
CREATE UNIQUE INDEX `admins_oidc` ON `admins` (`oidc_issuer`,`oidc_subject`);--> statement-breakpoint
ALTER TABLE `connections` ADD `sequence` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `events` ADD `sequence` integer;--> statement-breakpoint
ALTER TABLE `sessions` ADD `authenticated_at` integer;--> statement-breakpoint
ALTER TABLE `sessions` ADD `oidc_issuer` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `oidc_subject` text;--> statement-breakpoint
ALTER TABLE `sessions` ADD `oidc_sid` text;