package host

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	gorunner "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	sdkhost "github.com/nnid/nnid/sdk/host"
)

const (
	// deathTime is how long a process may take to end after its connection has broken.
	deathTime = 2 * time.Second
	// service begins the names of the calls that are ours, as opposed to go-plugin's.
	service = "/nnid.v1."
)

// process is a running plugin, or one that has ended.
type process struct {
	plugin   string
	path     string
	settings *Settings
	logger   hclog.Logger

	runner   *runner // nil when attached to a process that somebody else started
	client   *plugin.Client
	attached *grpc.ClientConn // the connection to such a process
	rpc      *sdkhost.Client

	calls  atomic.Int64 // under way
	mu     sync.Mutex
	reason error // why the host put an end to the process
}

// launch starts a plugin and shakes hands with it.
func launch(ctx context.Context, settings *Settings, listing *Listing, kind core.Kind, folder string) (*process, error) {
	p := &process{
		plugin: listing.Plugin, path: listing.Path, settings: settings,
		logger: settings.Logger.Named(listing.Plugin),
	}
	if done, err := p.attach(ctx, listing, kind); done || err != nil {
		return p, err
	}
	config := &plugin.ClientConfig{
		HandshakeConfig:     sdkhost.Handshake(),
		VersionedPlugins:    sdkhost.PluginSets(),
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:        settings.StartTimeout,
		Logger:              quietLogger{p.logger.Named("go-plugin")},
		PluginLogBufferSize: 4 * maxLine,
		SkipHostEnv:         true,
		MinPort:             0, MaxPort: 1, // lets the system choose; 0 and 0 would stand for 10000 to 25000
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: folder},
		GRPCDialOptions:  p.dialOptions(),
	}
	var certificate []byte
	if !listing.PlainText {
		var err error
		// go-plugin adds the plugin's certificate, from the handshake.
		if config.TLSConfig, certificate, err = newCertificate(); err != nil {
			return nil, fault.New(fault.Internal, "no certificate could be made for the connection to plugin %q: %w", p.plugin, err)
		}
	}
	config.RunnerFunc = func(_ hclog.Logger, cmd *exec.Cmd, _ string) (gorunner.Runner, error) {
		// The environment that go-plugin has made comes last, and so wins.
		env := environment(os.Environ(), settings.PassEnv, settings.Env)
		env = append(env, sdkhost.ParentVariable+"="+strconv.Itoa(os.Getpid()))
		env = append(env, sdkhost.LevelVariable+"="+p.logger.GetLevel().String())
		if passesFiles {
			env = append(env, sdkhost.LifelineVariable+"=3")
		}
		if certificate != nil {
			env = append(env, clientCertificateVariable+"="+string(certificate))
		}
		run := exec.Command(listing.Path)
		run.Env = append(env, cmd.Env...)
		r := newRunner(run, p.logger)
		r.plainText = listing.PlainText
		p.mu.Lock()
		p.runner = r
		p.mu.Unlock()
		return r, verify(listing)
	}
	p.client = plugin.NewClient(config)

	type started struct {
		conn *grpc.ClientConn
		err  error
	}
	result := make(chan started, 1)
	go func() {
		conn, err := p.connect()
		result <- started{conn, err}
	}()
	var s started
	select {
	case s = <-result:
	case <-ctx.Done():
		// connect returns soon after, for its process is gone.
		p.abandon(func() { s = <-result })
		return nil, ctx.Err()
	}
	if s.err == nil && !listing.PlainText && !p.hasCertificate() {
		s.err = fault.New(fault.Plugin, "plugin %q (%s) has no certificate in its handshake; if it can't do TLS, its description must say \"plain_text\": true", p.plugin, p.path)
	}
	if s.err != nil {
		err := p.startFailure(s.err, listing)
		p.shutdown()
		return nil, err
	}
	p.rpc = sdkhost.NewClient(s.conn, p.plugin)
	go p.supervise(grpc_health_v1.NewHealthClient(s.conn))
	if err := p.introduce(ctx, listing, kind); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// connect starts the process, waits for the handshake and connects.
func (p *process) connect() (*grpc.ClientConn, error) {
	protocol, err := p.client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense(sdkhost.SetName)
	if err != nil {
		return nil, err
	}
	conn, ok := raw.(*grpc.ClientConn)
	if !ok {
		return nil, errors.New("no gRPC connection")
	}
	return conn, nil
}

// hasCertificate reports whether the handshake had what mutual TLS needs. Without it, connecting fails, but only at the
// first call and with words about TLS.
func (p *process) hasCertificate() bool {
	p.runner.mu.Lock()
	defer p.runner.mu.Unlock()
	fields := strings.Split(strings.TrimSpace(p.runner.firstLine), "|")
	return len(fields) >= 6 && fields[5] != ""
}

// abandon kills a process that is being started, until wait returns, and cleans up.
func (p *process) abandon(wait func()) {
	waited := make(chan struct{})
	go func() { wait(); close(waited) }()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-waited:
			p.shutdown()
			return
		case <-ticker.C:
			// go-plugin's own Kill would wait for the handshake.
			p.mu.Lock()
			r := p.runner
			p.mu.Unlock()
			if r != nil {
				_ = r.Kill(context.Background()) // tried again until it is gone
			}
		}
	}
}

// verify makes sure that what is about to run is what was looked at. What is to be trusted beyond that is said by the
// permissions of the folder, which mayRun checks.
func verify(listing *Listing) error {
	if listing.Origin == OriginSelf {
		return nil
	}
	if err := mayRun(listing.Path); err != nil {
		return err
	}
	sum, err := checksum(listing.Path)
	if err != nil {
		return fault.New(fault.Plugin, "the plugin %s can't be read: %w", listing.Path, err)
	}
	if sum != listing.SHA256 {
		return mismatch(listing.Path, listing.SHA256, sum)
	}
	return nil
}

// introduce asks the plugin what it is, over the wire, and compares that with what is expected.
func (p *process) introduce(ctx context.Context, listing *Listing, kind core.Kind) error {
	limited, cancel := context.WithTimeout(ctx, p.settings.StartTimeout)
	defer cancel()
	description, err := p.rpc.Describe(limited)
	if err != nil {
		if ctx.Err() == nil && limited.Err() != nil {
			return fault.New(fault.Plugin, "plugin %q (%s) shook hands and then did not describe itself within %v (%s sets the limit)%s", p.plugin, p.path, p.settings.StartTimeout, StartTimeoutVariable, p.words())
		}
		return err
	}
	if description.Plugin != listing.Plugin {
		return fault.New(fault.Plugin, "the plugin %s calls itself %q when running and %q when described; build or install it again", p.path, description.Plugin, listing.Plugin)
	}
	for _, c := range listing.Components {
		if _, ok := description.Find(c.Kind, c.Name); c.Kind == kind && !ok {
			return fault.New(fault.Plugin, "plugin %q (%s) does not have the %s %q that its description has; build or install it again", p.plugin, p.path, kind, c.Name)
		}
	}
	return nil
}

// startFailure says why there is no connection, from what was seen of the process. go-plugin's own words change from one
// version to the next, and blame nobody.
func (p *process) startFailure(err error, listing *Listing) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	r := p.runner
	r.mu.Lock()
	startErr := r.startErr
	r.mu.Unlock()
	if startErr != nil {
		return startError(p.path, startErr)
	}
	if r.ID() == "" {
		return fault.New(fault.Plugin, "plugin %q (%s) can't be started: %w", p.plugin, p.path, err)
	}
	// go-plugin kills it when it gives up; the output is complete once it has ended.
	ended := r.ended(deathTime)
	r.mu.Lock()
	line, hasLine := r.firstLine, r.hasLine
	r.mu.Unlock()
	fields := strings.Split(strings.TrimSpace(line), "|")
	_, numberErr := strconv.Atoi(fields[0])
	switch {
	case !hasLine && ended && r.endedByItself():
		return fault.New(fault.Plugin, "plugin %q (%s) %s before the handshake%s", p.plugin, p.path, exit(r.cmd.ProcessState), p.words())
	case !hasLine:
		return fault.New(fault.Plugin, "plugin %q (%s) did not complete the handshake within %v and was stopped (%s sets the limit)%s", p.plugin, p.path, p.settings.StartTimeout, StartTimeoutVariable, p.words())
	case len(fields) < 4 || numberErr != nil:
		if len(line) > 100 {
			line = line[:100] + "..."
		}
		return fault.New(fault.Plugin, "plugin %q (%s) printed %q on its standard output where the handshake must be; plugins must not print there (sdk.Logger is for messages)", p.plugin, p.path, line)
	case fields[0] != strconv.Itoa(plugin.CoreProtocolVersion):
		return fault.New(fault.Plugin, "plugin %q (%s) uses version %s of the go-plugin handshake and this nnid %d; build it again with the SDK of this nnid", p.plugin, p.path, fields[0], plugin.CoreProtocolVersion)
	}
	if spoken, err := strconv.Atoi(fields[1]); err == nil {
		if err := checkProtocols(p.plugin, listing.Version, []int{spoken}); err != nil {
			return err
		}
	}
	if len(fields) < 5 || fields[4] != string(plugin.ProtocolGRPC) {
		return fault.New(fault.Plugin, "plugin %q (%s) does not offer gRPC in its handshake; build it with the SDK of this nnid", p.plugin, p.path)
	}
	return fault.New(fault.Plugin, "plugin %q (%s) shook hands but can't be reached: %w%s", p.plugin, p.path, err, p.words())
}

// words are the process's last, as the end of a sentence.
func (p *process) words() string {
	if p.runner == nil {
		return ""
	}
	return p.runner.words.String()
}

// condemn puts an end to the process for a reason that all its calls will be told.
func (p *process) condemn(reason error) {
	p.mu.Lock()
	if p.reason == nil {
		p.reason = reason
	}
	p.mu.Unlock()
	if p.runner != nil {
		_ = p.runner.Kill(context.Background()) // of a process that stop will kill again
	}
}

// supervise watches over the process until it ends. Only while calls are under way does it have to prove itself alive: a
// plugin stopped in a debugger between calls harms nobody.
func (p *process) supervise(health grpc_health_v1.HealthClient) {
	ticker := time.NewTicker(max(p.settings.PingTimeout/3, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-p.runner.done:
			return
		case <-ticker.C:
		}
		if p.calls.Load() == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), p.settings.PingTimeout)
		_, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
		cancel()
		switch status.Code(err) {
		case codes.DeadlineExceeded:
			p.condemn(fault.New(fault.Plugin, "plugin %q (%s) hangs: it did not answer a health check within %v, and was stopped%s", p.plugin, p.path, p.settings.PingTimeout, p.words()))
			return
		case codes.Unimplemented:
			return // plugins in other languages may do without; the limit on silence holds for them too
		}
	}
}

// watch returns a timer for the silence in a call.
func (p *process) watch(method string) *time.Timer {
	return time.AfterFunc(p.settings.CallTimeout, func() { p.silent(method) })
}

// silent is what happens when a call has brought no sign of life for too long.
func (p *process) silent(method string) {
	if p.attached != nil {
		return // somebody may be looking at it in a debugger
	}
	p.condemn(fault.New(fault.Plugin, "plugin %q (%s) gave no sign of life for %v in the call %s, and was stopped (%s sets the limit)%s",
		p.plugin, p.path, p.settings.CallTimeout, strings.TrimPrefix(method, service), CallTimeoutVariable, p.words()))
}

// gone returns the reason why calls can't succeed any more, and nil if they can.
func (p *process) gone() error {
	p.mu.Lock()
	reason := p.reason
	p.mu.Unlock()
	if p.runner == nil {
		return reason
	}
	select {
	case <-p.runner.done:
	default:
		return reason
	}
	if reason != nil {
		return reason
	}
	return fault.New(fault.Plugin, "plugin %q (%s) crashed: it %s%s", p.plugin, p.path, exit(p.runner.cmd.ProcessState), p.words())
}

// stop ends the process and waits for that.
func (p *process) stop() {
	p.mu.Lock()
	if p.reason == nil {
		p.reason = fault.New(fault.Plugin, "plugin %q (%s) was stopped with its host", p.plugin, p.path)
	}
	p.mu.Unlock()
	p.shutdown()
}

// shutdown asks the process to end, and kills it if it does not.
func (p *process) shutdown() {
	if p.attached != nil {
		_ = p.attached.Close() // the process is not ours: there is nothing more to do
		return
	}
	done := make(chan struct{})
	go func() { p.client.Kill(); close(done) }()
	timer := time.NewTimer(p.settings.StopTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	_ = p.runner.Kill(context.Background()) // go-plugin waits for the end, whoever brings it about
	<-done
}

func (p *process) dialOptions() []grpc.DialOption {
	return append(sdkhost.DialOptions(), grpc.WithChainUnaryInterceptor(p.unary), grpc.WithChainStreamInterceptor(p.stream))
}

// attach connects to the plugin where $NNID_REATTACH says that it is running already, if it does. Mutual TLS needs a
// launch, and the end of the process is for whoever started it: so go-plugin's client has nothing to do.
func (p *process) attach(ctx context.Context, listing *Listing, kind core.Kind) (done bool, err error) {
	text := os.Getenv(sdkhost.ReattachVariable)
	if text == "" {
		return false, nil
	}
	var all map[string]sdkhost.Reattach
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return false, fault.New(fault.Usage, "the variable %s is damaged (%w); copy what the plugin prints with --nnid-debug", sdkhost.ReattachVariable, err)
	}
	where, ok := all[p.plugin]
	if !ok {
		return false, nil
	}
	if err := checkProtocols(p.plugin, listing.Version, []int{where.Protocol}); err != nil {
		return false, err
	}
	target := "passthrough:///" + where.Address
	if where.Network == "unix" {
		target = "unix:" + where.Address
	}
	p.attached, err = grpc.NewClient(target, append(p.dialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return false, fault.New(fault.Usage, "the variable %s has the address %q: %w", sdkhost.ReattachVariable, where.Address, err)
	}
	p.rpc = sdkhost.NewClient(p.attached, p.plugin)
	if err := p.introduce(ctx, listing, kind); err != nil {
		p.stop()
		return false, fault.New(fault.KindOf(err), "plugin %q can't be used where %s says it runs: %w; unset the variable to have it started", p.plugin, sdkhost.ReattachVariable, err)
	}
	return true, nil
}
