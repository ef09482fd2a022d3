CREATE TABLE `used_states` (
	`state_hash` text PRIMARY KEY NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `used_states_expiry` ON `used_states` (`expires_at`);--> statement-breakpoint
ALTER TABLE `device_codes` ADD `network` text DEFAULT '' NOT NULL;--> statement-breakpoint
CREATE INDEX `device_codes_unapproved` ON `device_codes` (`app_id`,`network`,`expires_at`) WHERE "device_codes"."status" <> 'approved';--> statement-breakpoint
-- Written by hand. Flows in progress end: their verifiers are overwritten, and their rows become free.
UPDATE `sealed` SET `free` = 1, `bytes` = zeroblob(`size`) WHERE `id` IN (SELECT `verifier` FROM `flows`);--> statement-breakpoint
DROP TABLE `flows`;
