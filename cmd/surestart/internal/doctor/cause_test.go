package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/producer"
)

// A host that does not answer says nothing about TLS: no connection was made.
func TestConnectionTimeout(t *testing.T) {
	x := exam{cfg: producer.Config{TLS: new(tls.Config)}}
	err := fmt.Errorf("kafka:9092: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded})
	cause, field := x.cause(context.Background(), "", err)
	if !strings.Contains(cause, "the host does not answer") || field != "Brokers" {
		t.Errorf("%s: %s", field, cause)
	}
}
