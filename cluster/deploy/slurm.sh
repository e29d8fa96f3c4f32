#!/usr/bin/env bash
# One study on the nodes of a Slurm job, from the project's folder, which all nodes see as they do the home folder:
#   sbatch --nodes=4 cluster/deploy/slurm.sh studies/cifar_vae.py --out /shared/runs/cifar_vae --data-dir /shared/data
# The same command again continues a study that met the time limit.
#
# Whole nodes: symmetric-run refuses one where any Ray runs, and ends with `ray stop`, which ends all of the user's.
#SBATCH --exclusive
#SBATCH --job-name=vae-study
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
set -euo pipefail
: "${1:?the study is missing: cluster/deploy/slurm.sh studies/cifar_vae.py ...}"
cd "${SLURM_SUBMIT_DIR:?this is for sbatch}"
export PATH="$PWD/.venv/bin:$PATH"

export RAY_AUTH_MODE=token
(umask 077 && ray get-auth-token --generate >/dev/null)
chmod 600 ~/.ray/auth_token

# Jobs of near ids share no port, not even with what an earlier one left behind. All lie below 32768, where the ports
# begin that Linux gives away by itself. What Ray has no option for, it reads from the environment.
first=$((10000 + SLURM_JOB_ID % 56 * 400))
export AUTOSCALER_METRIC_PORT=$((first + 8)) DASHBOARD_METRIC_PORT=$((first + 9))
# what `--address auto` means; without it Ray looks below /tmp/ray
export RAY_ADDRESS="$SLURMD_NODENAME:$first"
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300  # 30 s are few for imports from a network file system

# Short, since a socket's path has at most 107 bytes. Without -p: a folder that somebody put there is refused.
temp=${RAY_TMPDIR:-/tmp}/ray-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}  # a job that is requeued keeps its id
srun mkdir -m 700 "$temp"

# --trusted-network: compute nodes have a network of their own; where others can listen in, use RAY_USE_TLS=1 instead.
# The mark: symmetric-run ends with 0 where Ray did not start.
mark=$HOME/.ray/began-$SLURM_JOB_ID
rm -f "$mark"
code=0
# shellcheck disable=SC2016 # the inner shell expands them
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=1 \
    ray symmetric-run \
    --address "$RAY_ADDRESS" \
    --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" \
    --temp-dir="$temp/ray" \
    --dashboard-host=127.0.0.1 \
    --dashboard-port=$((first + 1)) \
    --dashboard-agent-listen-port=$((first + 2)) \
    --dashboard-agent-grpc-port=$((first + 3)) \
    --runtime-env-agent-port=$((first + 4)) \
    --metrics-export-port=$((first + 5)) \
    --node-manager-port=$((first + 6)) \
    --object-manager-port=$((first + 7)) \
    --ray-client-server-port=$((first + 10)) \
    --min-worker-port=$((first + 11)) \
    --max-worker-port=$((first + 399)) \
    --disable-usage-stats \
    -- sh -c 'touch "$0" && exec "$@"' "$mark" python "$@" --address auto --trusted-network || code=$?
if ! rm "$mark" 2>/dev/null; then
    echo "Ray did not start, so no study ran: its logs are in $temp on each node" >&2
    exit 1
fi
if ((code == 0)); then
    srun rm -rf -- "$temp"  # after a failure the logs stay
fi
exit "$code"
