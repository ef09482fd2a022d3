CREATE TABLE `links` (
	`id` text PRIMARY KEY NOT NULL,
	`secret_hash` text NOT NULL,
	`grant_id` text NOT NULL,
	`path` text NOT NULL,
	`is_prefix` integer NOT NULL,
	`label` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`last_used_at` integer,
	`uses` integer DEFAULT 0 NOT NULL,
	FOREIGN KEY (`grant_id`) REFERENCES `grants`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE UNIQUE INDEX `links_secretHash_unique` ON `links` (`secret_hash`);--> statement-breakpoint
CREATE INDEX `links_grant` ON `links` (`grant_id`,`id`);--> statement-breakpoint
CREATE INDEX `links_expiry` ON `links` (`expires_at`);--> statement-breakpoint
ALTER TABLE `apps` ADD `access` text DEFAULT 'token' NOT NULL;--> statement-breakpoint
ALTER TABLE `apps` ADD `read_only` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `apps` ADD `allow` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `apps` ADD `session` text DEFAULT 'token' NOT NULL;--> statement-breakpoint
ALTER TABLE `apps` ADD `requests_per_minute` integer;--> statement-breakpoint
ALTER TABLE `apps` ADD `requests_per_day` integer;--> statement-breakpoint
ALTER TABLE `apps` ADD `offline` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `apps` ADD `par` text DEFAULT 'optional' NOT NULL;--> statement-breakpoint
ALTER TABLE `apps` ADD `jwks` text;--> statement-breakpoint
ALTER TABLE `apps` ADD `jwks_uri` text;--> statement-breakpoint
ALTER TABLE `codes` ADD `policy` text;--> statement-breakpoint
ALTER TABLE `codes` ADD `external_id` text;--> statement-breakpoint
ALTER TABLE `device_codes` ADD `policy` text;--> statement-breakpoint
ALTER TABLE `grants` ADD `policy` text;--> statement-breakpoint
ALTER TABLE `grants` ADD `external_id` text;--> statement-breakpoint
CREATE INDEX `grants_external` ON `grants` (`app_id`,`external_id`,`id`) WHERE "grants"."external_id" is not null;