package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/producer"
)

// cause returns the likely cause of err, and the field of producer.Config to check. address is the
// address that it may probe further; "": none.
func (x *exam) cause(ctx context.Context, address string, err error) (cause, field string) {
	for _, known := range []func(context.Context, string, error) (string, string){network, certificate, answer, x.protocol} {
		if cause, field := known(ctx, address, err); cause != "" {
			return cause, field
		}
	}
	return "unknown; see the error above", ""
}

func network(_ context.Context, _ string, err error) (cause, field string) {
	var name *net.DNSError
	var dial *net.OpError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "there is no such host name; check its spelling, and the DNS search path of this machine", "Brokers"
	case errors.As(err, &name):
		return "the name server does not answer", "Brokers"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at this port: the broker is down, or the port is wrong", "Brokers"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route from here to the host", "Brokers"
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Timeout():
		return "the host does not answer: it is down, the address is wrong, or a firewall drops the packets", "Brokers"
	}
	return "", ""
}

func certificate(_ context.Context, _ string, err error) (cause, field string) {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		alert   *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return "this machine does not trust the authority that signed the broker's certificate", "TLS.RootCAs"
	case errors.As(err, &host):
		return "the broker's certificate is for other names; use one of them as the address, or as the server's name", "TLS.ServerName"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the broker's certificate is expired or not yet valid: renew it, or correct this machine's clock", ""
	case errors.As(err, &alert) && alert.Op == "remote error":
		return "the broker ended the TLS handshake; usually it wants a certificate of the client that it trusts", "TLS.Certificates"
	}
	return "", ""
}

func answer(_ context.Context, _ string, err error) (cause, field string) {
	switch {
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return "the user or the password is wrong, or the user has none for this mechanism", "SASL"
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return "this listener has other SASL mechanisms", "SASL"
	case errors.Is(err, kafka.IllegalSASLState):
		return "this listener has no login; leave SASL out, or use the port of the listener that has", "SASL"
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		return "the topic does not exist, or this user may not describe it; create it, or allow its creation", "Topic"
	case errors.Is(err, kafka.LeaderNotAvailable):
		return "brokers that hold these partitions are down; start them, or do without these partitions", "AllowPartial"
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		return "this user may write to no topic; before Kafka 3.0 it also needs IDEMPOTENT_WRITE on the cluster: grant it, or do without idempotence", "Idempotence"
	case errors.Is(err, producer.ErrNoIdempotence):
		return "the brokers give out no producer ids; do without idempotence", "Idempotence"
	case errors.Is(err, kafka.TopicAuthorizationFailed) && partOf(err) == "topic":
		return "this user may not describe the topic, or it does not exist: grant WRITE, which includes DESCRIBE, or log in as another user", "SASL"
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return "this user may not write to the topic: grant WRITE, or log in as another user", "SASL"
	}
	return "", ""
}

// grants returns the commands that grant the permission whose absence err reports.
func (x *exam) grants(err error) []string {
	cluster := errors.Is(err, kafka.ClusterAuthorizationFailed)
	if !cluster && !errors.Is(err, kafka.TopicAuthorizationFailed) {
		return nil
	}
	command := "kafka-acls --bootstrap-server " + x.cfg.Brokers[0] + " --add --allow-principal " + quote("User:"+x.user) + " --operation "
	write := command + "Write"
	for _, topic := range x.topics() {
		write += " --topic " + quote(topic)
	}
	if !cluster {
		return []string{write}
	}
	return []string{write, command + "IdempotentWrite --cluster # before Kafka 3.0"}
}

// quote quotes a word for a shell, if that is necessary.
func quote(word string) string {
	if regexp.MustCompile(`^[\w.:/@-]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// protocol is the cause of an error that looks as if the other side spoke another protocol than
// the configured one. If the other side closes the connection, is silent or sends something
// unknown, protocol probes which protocol it speaks.
func (x *exam) protocol(ctx context.Context, address string, err error) (cause, field string) {
	var other *producer.NotKafkaError
	var record tls.RecordHeaderError
	closed := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	silent := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	wrong := errors.As(err, &record) || errors.As(err, &other)
	if !closed && !silent && !wrong {
		return "", ""
	}
	speaks := ""
	if address != "" {
		speaks = x.speaks(ctx, address)
	}
	withTLS, withLogin := x.cfg.TLS != nil, x.cfg.SASL != nil
	switch {
	case speaks == "TLS" && !withTLS:
		return "this listener speaks TLS, and the configuration does not", "TLS"
	case speaks == "HTTP":
		return "an HTTP server answers at this port, no Kafka broker", "Brokers"
	case wrong && withTLS:
		return "this listener does not speak TLS; leave TLS out, or use the port of the listener that does", "TLS"
	case wrong:
		return "the protocol at this port is not Kafka's", "Brokers"
	case withTLS && speaks != "TLS":
		return "the listener does not speak TLS, or a firewall is between; leave TLS out, or use the port of the listener that does", "TLS"
	case closed && withLogin:
		return "the broker closed the connection during the login: some do so if the user or the password is wrong", "SASL"
	case closed:
		return "the broker closed the connection: the listener may want a login", "SASL"
	}
	return "no answer in time: the broker hangs, or a firewall drops the packets", "Brokers"
}

// speaks probes whether an address speaks TLS, with any certificate, or HTTP.
func (x *exam) speaks(ctx context.Context, address string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.timeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", address) // nothing is sent on it
	var alert *net.OpError
	if err == nil {
		conn.Close()
	}
	if err == nil || errors.As(err, &alert) && alert.Op == "remote error" {
		return "TLS"
	}
	if conn, err = new(net.Dialer).DialContext(ctx, "tcp", address); err != nil {
		return ""
	}
	defer conn.Close()
	until, _ := ctx.Deadline()
	conn.SetDeadline(until)
	answer := make([]byte, 4)
	if _, err = conn.Write([]byte("HEAD / HTTP/1.0\r\n\r\n")); err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if err == nil && string(answer) == "HTTP" {
		return "HTTP"
	}
	return ""
}
