// Command quickstart is the program of the README.
package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/seed3893aba4/surestart/fsm"
)

func main() {
	listener := fsm.New(func(ctx context.Context, s *fsm.Scope) (net.Listener, error) {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err == nil {
			s.Defer("listener", func(context.Context) error { return ln.Close() })
		}
		return ln, err
	})
	defer listener.Close()
	for range 3 { // any number of times: it is opened once
		if err := listener.Start(context.Background()); err != nil {
			log.Print(err)
			return
		}
	}
	err := listener.Use(context.Background(), func(_ context.Context, ln net.Listener) error {
		fmt.Println("listening:", ln.Addr().Network())
		return nil // the listener stays open until this function returns
	})
	if err != nil {
		log.Print(err)
	}
}
