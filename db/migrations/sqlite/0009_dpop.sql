CREATE TABLE `dpop_proofs` (
	`proof_hash` text PRIMARY KEY NOT NULL,
	`expires_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `dpop_proofs_expiry` ON `dpop_proofs` (`expires_at`);--> statement-breakpoint
ALTER TABLE `apps` ADD `dpop` text DEFAULT 'optional' NOT NULL;--> statement-breakpoint
ALTER TABLE `codes` ADD `jkt` text;--> statement-breakpoint
ALTER TABLE `flows` ADD `jkt` text;--> statement-breakpoint
ALTER TABLE `grants` ADD `jkt` text;