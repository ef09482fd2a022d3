ALTER TABLE `connections` ADD `name_key` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `connections` ADD `last_used_at` integer;--> statement-breakpoint
ALTER TABLE `connections` ADD `person_erased_at` integer;--> statement-breakpoint
CREATE INDEX `connections_former_account` ON `connections` (`account_id`) WHERE "connections"."status" = 'revoked';