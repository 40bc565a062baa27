#!/bin/sh
# Leaves everything in this network namespace, one user apart, no way out but the Envoy of sidecar.yaml.
#
# It runs once, as root with NET_ADMIN and before anything of the agent does: in an init container, say. TCP goes to Envoy,
# DNS to the resolvers of /etc/resolv.conf, and everything else is refused: other DNS servers, QUIC, ICMP, and what comes
# from outside. Running it again puts the same rules in place of its own and leaves those of others alone.
# Lists of words are split on purpose.
# shellcheck disable=SC2086
set -euf

proxy_uid=1337 port=15001 ready_port=15021 inbound='' resolvers='' remove=

usage() {
  cat <<'USAGE'
Usage: redirect.sh [OPTIONS]

  --proxy-uid UID     the user that Envoy runs as, which nothing here holds back (1337)
  --port PORT         where Envoy takes redirected connections (15001)
  --ready-port PORT   where Envoy says that it is ready; may be asked from outside (15021)
  --inbound PORT      another TCP port that may be asked from outside; may be given again
  --resolver ADDRESS  the DNS server that may be asked, in place of those in /etc/resolv.conf; may be given again;
                      `none`: no DNS at all
  --remove            takes the rules away, and with them all that Weir holds back
USAGE
}

fail() {
  echo "redirect.sh: $*" >&2
  exit 1
}

number() {
  case $2 in '' | *[!0-9]* | ??????*) fail "$1 takes a number, not \"$2\"" ;; esac
  [ "$2" -gt 0 ] || fail "$1 takes a number above 0: root may not be the one that nothing holds back"
}

while [ $# -gt 0 ]; do
  case $1 in
  --remove) remove=1 && shift && continue ;;
  -h | --help) usage && exit ;;
  --proxy-uid | --port | --ready-port | --inbound | --resolver) [ $# -gt 1 ] || fail "$1 takes a value" ;;
  *) usage >&2 && fail "unknown argument \"$1\"" ;;
  esac
  case $1 in
  --proxy-uid) number "$1" "$2" && proxy_uid=$2 ;;
  --port) number "$1" "$2" && port=$2 ;;
  --ready-port) number "$1" "$2" && ready_port=$2 ;;
  --inbound) number "$1" "$2" && inbound="$inbound $2" ;;
  --resolver) resolvers="$resolvers $2" ;;
  esac
  shift 2
done

if [ -z "$resolvers" ]; then
  resolvers=$(sed -n 's/^nameserver[[:space:]]\{1,\}\([^[:space:]]*\).*/\1/p' /etc/resolv.conf)
  # Whoever has no name server asks 127.0.0.1, Envoy too: anybody in the pod could answer there.
  [ -n "$resolvers$remove" ] || fail 'no name server is in /etc/resolv.conf; name one by --resolver'
fi

# All users that there are, as ranges: in a user namespace it refuses those that it does not have.
users() {
  [ -r /proc/self/uid_map ] || { echo 0-4294967294 && return; }
  while read -r first _ count; do echo "$first-$((first + count - 1))"; done </proc/self/uid_map
}

# The rules of one family for iptables-restore. What differs between the two is set where the families are gone through.
rules() {
  cat <<RULES
*nat
:WEIR_OUT - [0:0]
-A WEIR_OUT -m owner --uid-owner $proxy_uid -j RETURN
-A WEIR_OUT -o lo -j RETURN
RULES
  for resolver in $own_resolvers; do echo "-A WEIR_OUT -d $resolver -p tcp --dport 53 -j RETURN"; done
  cat <<RULES
-A WEIR_OUT -p tcp -j REDIRECT --to-ports $port
COMMIT
*filter
:WEIR_OUT - [0:0]
-A WEIR_OUT -m owner --uid-owner $proxy_uid -j ACCEPT
RULES
  # Neighbours are looked for by ICMP in IPv6, at first from no address. Reports of multicast groups (143) are not among
  # them: whoever joins a group writes its 16 bytes.
  for type in $neighbours; do echo "-A WEIR_OUT -p icmpv6 --icmpv6-type $type -j ACCEPT"; done
  # IPv6 lets everybody write a foreign source (IPV6_FREEBIND), and what is answered to that goes there: an error with the
  # packet in it, whose words the kernel sends. No REJECT, which would be one. On lo, from port 53: somebody who would stand
  # in for a resolver there, to be asked by Envoy; a resolver never speaks first.
  cat <<RULES
-A WEIR_OUT -m addrtype ! --src-type LOCAL -j DROP
-A WEIR_OUT -o lo -p udp --sport 53 -m conntrack --ctstate NEW -j REJECT
-A WEIR_OUT -o lo -p tcp --sport 53 -m conntrack --ctstate NEW -j REJECT
-A WEIR_OUT -o lo -j ACCEPT
-A WEIR_OUT -d $loopback -p tcp --dport $port -j ACCEPT
RULES
  for resolver in $own_resolvers; do
    echo "-A WEIR_OUT -d $resolver -p udp --dport 53 -j ACCEPT"
    echo "-A WEIR_OUT -d $resolver -p tcp --dport 53 -j ACCEPT"
  done
  for open in $inbound; do
    echo "-A WEIR_OUT -p tcp ! --syn --sport $open -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT"
  done
  # Here it ends for what a process sends, also on what counts as established: a connection of Envoy's that was just cut is
  # one, and the agent could go on with it from the same port. The kernel's own packets are left: the last words (FIN, RST)
  # to whom a process that is gone had spoken.
  users | while read -r range; do echo "-A WEIR_OUT -p tcp -m owner --uid-owner $range -j REJECT"; done
  cat <<RULES
-A WEIR_OUT -p tcp ! --syn -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A WEIR_OUT -p $icmp -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT
-A WEIR_OUT -p $icmp -m conntrack --ctstate RELATED -j ACCEPT
-A WEIR_OUT -j REJECT
:WEIR_IN - [0:0]
-A WEIR_IN -i lo -j ACCEPT
-A WEIR_IN -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A WEIR_IN -p $icmp -j ACCEPT
RULES
  for open in $ready_port $inbound; do echo "-A WEIR_IN -p tcp --dport $open -j ACCEPT"; done
  cat <<RULES
-A WEIR_IN -j REJECT
:WEIR_THROUGH - [0:0]
-A WEIR_THROUGH -j REJECT
COMMIT
RULES
}

# One family: the chains at once, and then the way into them, where it is not there yet.
redirect() {
  rules | "$1-restore" --wait --noflush || fail "$1 does not take the rules; it needs NET_ADMIN, and the kernel nat, owner, addrtype, conntrack"
  for jump in 'filter OUTPUT WEIR_OUT' 'filter INPUT WEIR_IN' 'filter FORWARD WEIR_THROUGH' 'nat OUTPUT WEIR_OUT'; do
    set -- "$1" $jump
    "$1" -w -t "$2" -C "$3" -j "$4" 2>/dev/null || "$1" -w -t "$2" -I "$3" 1 -j "$4" || fail "$1 takes no rule in $3 of $2"
  done
}

remove() {
  for jump in 'nat OUTPUT WEIR_OUT' 'filter OUTPUT WEIR_OUT' 'filter INPUT WEIR_IN' 'filter FORWARD WEIR_THROUGH'; do
    set -- "$1" $jump
    while "$1" -w -t "$2" -D "$3" -j "$4" 2>/dev/null; do :; done
    "$1" -w -t "$2" -F "$4" 2>/dev/null && "$1" -w -t "$2" -X "$4"
  done
  return 0
}

command -v iptables-restore >/dev/null || fail 'iptables is not here; install the package iptables'
[ "$resolvers" != ' none' ] || resolvers=''
for resolver in $resolvers; do
  case $resolver in *[!0-9a-fA-F.:]*) fail "the resolver \"$resolver\" is no address" ;; esac
done
for family in 4 6; do
  case $family in
  4)
    tool=iptables loopback=127.0.0.1 icmp=icmp neighbours=''
    own_resolvers=$(printf '%s\n' $resolvers | grep -F . || true)
    ;;
  6)
    # A kernel without IPv6 has nothing to close.
    [ -e /proc/net/if_inet6 ] || continue
    tool=ip6tables loopback=::1 icmp=icmpv6 neighbours='133 135 136'
    own_resolvers=$(printf '%s\n' $resolvers | grep -F : || true)
    ;;
  esac
  if [ -n "$remove" ]; then remove "$tool"; else redirect "$tool"; fi
done
if [ -n "$remove" ]; then
  echo 'redirect.sh: the rules are gone; nothing is held back'
else
  echo "redirect.sh: TCP goes to port $port, DNS to ${resolvers:-nobody}, the rest nowhere; user $proxy_uid is free"
fi
