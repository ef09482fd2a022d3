CREATE TABLE `passkeys` (
	`id` text PRIMARY KEY NOT NULL,
	`admin_id` text NOT NULL,
	`public_key` blob NOT NULL,
	`counter` integer NOT NULL,
	`transports` text NOT NULL,
	`name` text NOT NULL,
	`created_at` integer NOT NULL,
	`last_used_at` integer,
	FOREIGN KEY (`admin_id`) REFERENCES `admins`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `passkeys_admin` ON `passkeys` (`admin_id`);--> statement-breakpoint
CREATE TABLE `used_states` (
	`state_hash` text PRIMARY KEY NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `used_states_expiry` ON `used_states` (`expires_at`);--> statement-breakpoint
ALTER TABLE `apps` ADD `grant_lifetime_seconds` integer;--> statement-breakpoint
ALTER TABLE `codes` ADD `nonce` text;--> statement-breakpoint
ALTER TABLE `codes` ADD `browser_hash` text;--> statement-breakpoint
ALTER TABLE `device_codes` ADD `network` text DEFAULT '' NOT NULL;--> statement-breakpoint
CREATE INDEX `device_codes_unapproved` ON `device_codes` (`app_id`,`network`,`expires_at`) WHERE "device_codes"."status" <> 'approved';--> statement-breakpoint
ALTER TABLE `grants` ADD `successors_since_seconds` integer;--> statement-breakpoint
ALTER TABLE `grants` ADD `browser_hash` text;--> statement-breakpoint
ALTER TABLE `signing_keys` ADD `alg` text DEFAULT 'EdDSA' NOT NULL;--> statement-breakpoint
-- Written by hand. Flows in progress end: their verifiers are overwritten, and their rows become free.
UPDATE `sealed` SET `free` = 1, `bytes` = zeroblob(`size`) WHERE `id` IN (SELECT `verifier` FROM `flows`);--> statement-breakpoint
DROP TABLE `flows`;--> statement-breakpoint
-- Written by hand. Status 3 of `listing`: ended by an import (refused, or a duplicate). No list, search or count has it.
DROP TRIGGER `connections_status_changed`;
--> statement-breakpoint
CREATE TRIGGER `connections_status_changed` AFTER UPDATE OF `status`, `import_state`, `replaced_by` ON `connections`
	WHEN new.`status` IS NOT old.`status` OR new.`import_state` IS NOT old.`import_state` OR new.`replaced_by` IS NOT old.`replaced_by` BEGIN
	UPDATE `listing` SET `status` = CASE new.`status` WHEN 'active' THEN 0 WHEN 'needs_reconnect' THEN 1
		ELSE CASE WHEN new.`import_state` = 'rejected' OR new.`replaced_by` IS NOT NULL THEN 3 ELSE 2 END END
		WHERE `n` = (SELECT `n` FROM `listing_names` WHERE `connection_id` = new.`id`);
END;
--> statement-breakpoint
UPDATE `listing` SET `status` = 3 WHERE `n` IN (SELECT `n` FROM `listing_names` JOIN `connections` ON `id` = `connection_id`
	WHERE `connections`.`status` = 'revoked' AND (`import_state` = 'rejected' OR `replaced_by` IS NOT NULL));
