ALTER TABLE `connections` ADD `restored_from` integer;--> statement-breakpoint
ALTER TABLE `signing_keys` ADD `activated_at` integer;--> statement-breakpoint
ALTER TABLE `signing_keys` ADD `tokens_until` integer;