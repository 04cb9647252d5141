package testbroker

import (
	"context"
	"os/exec"
	"path/filepath"

	"github.com/seed3893aba4/surestart/internal/checkout"
)

// KafkaCommand returns the checkout's `./check kafka`, which starts and stops a real Apache
// Kafka, with these arguments. Paths among them must be absolute.
func KafkaCommand(ctx context.Context, args ...string) (*exec.Cmd, error) {
	dir, err := checkout.Root()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, filepath.Join(dir, "check"), append([]string{"kafka"}, args...)...), nil
}
