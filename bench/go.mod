module github.com/seed3893aba4/surestart/bench

go 1.26.0

require (
	github.com/cometbft/cometbft v0.38.19
	github.com/grafana/dskit v0.0.0-20260703122047-de1ec7541c44
	github.com/looplab/fsm v1.0.3
	github.com/seed3893aba4/surestart v0.0.0
	golang.org/x/sync v0.24.0
)

require (
	github.com/go-kit/log v0.2.1 // indirect
	github.com/go-logfmt/logfmt v0.6.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
	go.uber.org/atomic v1.11.0 // indirect
)

replace github.com/seed3893aba4/surestart => ../
