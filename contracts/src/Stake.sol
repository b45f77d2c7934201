// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPayToken} from "./IPayToken.sol";
import {IStake} from "./IStake.sol";
import {Owned} from "./Owned.sol";
import {Authorization, Money} from "./Money.sol";

/// @title What nodes put down for their roles, and what evaluators with stake say of a number
/// @notice Definitions, in atomic units, for an account in a role:
///   staked  counts as voice
///   leaving was taken out of the stake and waits UNBONDING seconds; it has no voice but can be slashed until it is
///           withdrawn. Taking out more starts the wait of all of it anew.
/// A slash takes min(amount, staked + leaving), first of what is leaving, once per fault, to the treasury.
/// Always: balance >= sum of staked + leaving = put in - withdrawn - slashed.
///
/// A round asks the evaluators for a number that not everyone can recompute. Until `commitBy` each commits to a
/// score by
///   keccak(abi.encode(chain id, this contract, round, account, score, salt)),
/// until `revealBy` it reveals. The account is inside, so another's commitment is worth nothing to who copies it.
/// At most 64 accounts have a seat; when all are taken, a larger stake displaces a smaller one, so that no crowd of
/// small stakes keeps a large one out. An account's weight is the lesser of its stake at its commitment and at its
/// reveal. The result is the weighted lower median: the smallest score m with 2 weight(scores <= m) >= total weight.
/// Anyone computes it off chain; the contract checks it in one pass over the seats.
/// Rounds are named by who opens them; who uses a result names the opener it trusts.
contract Stake is IStake, Owned, ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;
    using Money for IPayToken;
    using SafeCast for uint256;

    /// @notice What an account put down for a role.
    struct Position {
        uint96 staked;
        uint96 leaving;
        uint64 freeAt;
    }

    /// @notice A round's terms and how many seats are taken.
    struct Round {
        uint64 commitBy;
        uint64 revealBy;
        uint96 minStake;
        uint8 seats;
        uint8 revealed;
        bool closed;
    }

    /// @notice An account in a round. `seat` counts from 1.
    struct Voice {
        uint96 weight;
        uint96 score;
        uint8 seat;
        bool revealed;
        bytes32 commitment;
    }

    /// @notice What came of a round.
    struct Result {
        uint96 median;
        uint160 weight;
    }

    /// @notice Seconds from taking out until withdrawing: longer than the longest challenge window (30 days) and the
    /// longest round by 30 days, time for a proposal, its vote and the timelock.
    uint64 public constant UNBONDING = 60 days;
    /// @notice The longest that a round may last, in seconds.
    uint64 public constant MAX_ROUND = 30 days;
    /// @notice The most accounts that are heard in a round.
    uint8 public constant MAX_SEATS = 64;

    /// @notice The money at stake.
    IPayToken public immutable token;
    /// @notice Gets what is slashed.
    address public immutable treasury;

    /// @notice All that is held: staked and leaving.
    uint256 public totalHeld;
    /// @inheritdoc IStake
    mapping(Role role => uint256 amount) public totalStake;
    /// @notice Whether a fault was punished.
    mapping(bytes32 faultId => bool) public punished;

    mapping(Role role => mapping(address account => Position)) private _positions;
    mapping(bytes32 id => Round) private _rounds;
    mapping(bytes32 id => Result) private _results;
    mapping(bytes32 id => mapping(uint256 seat => address account)) private _seats;
    mapping(bytes32 id => mapping(address account => Voice)) private _voices;

    /// @notice An address that must name somebody is zero.
    error ZeroAddress();
    /// @notice A hash that must say something is zero.
    error ZeroHash();
    /// @notice The amount must be more than zero.
    error ZeroAmount();
    /// @notice Stake belongs to a role.
    error RoleRequired();
    /// @notice The account has less at stake in this role.
    error StakeTooSmall(address account, uint256 staked, uint256 required);
    /// @notice Nothing of this account is leaving this role.
    error NothingLeaving(Role role, address account);
    /// @notice What is leaving is held until this time.
    error StillBound(uint64 freeAt, uint64 time);
    /// @notice This fault was punished before.
    error FaultKnown(bytes32 faultId);
    /// @notice The account holds nothing in this role that could be slashed.
    error NothingToSlash(Role role, address account);
    /// @notice A round's deadlines follow one another, the first in the future, the last within the longest round.
    error DeadlinesInvalid(uint64 commitBy, uint64 revealBy, uint64 time, uint64 latest);
    /// @notice This round was opened before.
    error RoundKnown(bytes32 id);
    /// @notice This round was never opened.
    error RoundUnknown(bytes32 id);
    /// @notice The time for this step is over.
    error TooLate(bytes32 id, uint64 deadline, uint64 time);
    /// @notice The time for this step has not come.
    error TooEarly(bytes32 id, uint64 from, uint64 time);
    /// @notice The account has a seat in this round already.
    error SeatTaken(bytes32 id, address account);
    /// @notice All seats are taken, and the one named has no smaller stake.
    error SeatsFull(bytes32 id, uint256 seat, uint256 weight, uint256 given);
    /// @notice The account has nothing to reveal in this round.
    error NothingToReveal(bytes32 id, address account);
    /// @notice Score and salt do not open the account's commitment.
    error CommitmentDiffers(bytes32 id, address account);
    /// @notice Nobody with a voice revealed a score in this round.
    error NoScores(bytes32 id);
    /// @notice This round has its result.
    error RoundClosed(bytes32 id, uint96 median);
    /// @notice This is not the weighted lower median of the scores revealed.
    error NotMedian(bytes32 id, uint96 given, uint256 below, uint256 upTo, uint256 total);

    event Staked(Role indexed role, address indexed account, uint256 amount);
    event Unstaked(Role indexed role, address indexed account, uint256 amount, uint64 freeAt);
    event Withdrawn(Role indexed role, address indexed account, uint256 amount);
    event Slashed(
        bytes32 indexed faultId, Role indexed role, address indexed account, uint256 ofLeaving, uint256 ofStaked
    );
    event RoundOpened(
        bytes32 indexed id, address indexed opener, bytes32 salt, uint64 commitBy, uint64 revealBy, uint96 minStake
    );
    event Committed(
        bytes32 indexed id, address indexed account, uint256 seat, uint96 weight, bytes32 commitment, address displaced
    );
    event Revealed(bytes32 indexed id, address indexed account, uint96 score, uint96 weight);
    event RoundResult(bytes32 indexed id, uint96 median, uint256 weight, uint256 scores);

    constructor(address owner_, IPayToken token_, address treasury_) Owned(owner_) {
        require(address(token_) != address(0) && treasury_ != address(0), ZeroAddress());
        token = token_;
        treasury = treasury_;
    }

    /// @notice Put down `amount` for `role`, which the caller allowed this contract to take.
    function stake(Role role, uint96 amount) external nonReentrant {
        _stake(role, msg.sender, amount);
        token.take(msg.sender, amount);
    }

    /// @notice Put down `amount` for `role` by the account's EIP-3009 ReceiveWithAuthorization to this contract, whose
    /// nonce is `stakeNonce(role, salt)`. Anyone may send it.
    function stakeByAuthorization(
        Role role,
        address account,
        uint96 amount,
        bytes32 salt,
        Authorization calldata authorization
    ) external nonReentrant {
        _stake(role, account, amount);
        token.takeSigned(account, amount, stakeNonce(role, salt), authorization);
    }

    /// @notice Take `amount` out of the caller's stake in `role`; it can be withdrawn after UNBONDING seconds.
    function unstake(Role role, uint96 amount) external {
        Position storage position = _positions[role][msg.sender];
        require(amount != 0, ZeroAmount());
        require(amount <= position.staked, StakeTooSmall(msg.sender, position.staked, amount));
        uint64 freeAt = uint64(block.timestamp) + UNBONDING;
        position.staked -= amount;
        position.leaving += amount;
        position.freeAt = freeAt;
        totalStake[role] -= amount;
        emit Unstaked(role, msg.sender, amount, freeAt);
    }

    /// @notice Send `account` what has left its stake in `role`. Anyone may call it.
    function withdraw(Role role, address account) external nonReentrant {
        Position storage position = _positions[role][account];
        uint256 amount = position.leaving;
        require(amount != 0, NothingLeaving(role, account));
        require(block.timestamp >= position.freeAt, StillBound(position.freeAt, uint64(block.timestamp)));
        (position.leaving, position.freeAt) = (0, 0);
        totalHeld -= amount;
        emit Withdrawn(role, account, amount);
        token.safeTransfer(account, amount);
    }

    /// @notice Take up to `amount` of what `account` holds in `role` for the fault `faultId`, once.
    function slash(Role role, address account, uint96 amount, bytes32 faultId) external onlyOwner nonReentrant {
        require(faultId != 0, ZeroHash());
        require(amount != 0, ZeroAmount());
        require(!punished[faultId], FaultKnown(faultId));
        Position storage position = _positions[role][account];
        uint96 ofLeaving = amount < position.leaving ? amount : position.leaving;
        uint96 ofStaked = amount - ofLeaving < position.staked ? amount - ofLeaving : position.staked;
        uint256 taken = uint256(ofLeaving) + ofStaked;
        require(taken != 0, NothingToSlash(role, account));
        punished[faultId] = true;
        position.leaving -= ofLeaving;
        position.staked -= ofStaked;
        totalStake[role] -= ofStaked;
        totalHeld -= taken;
        emit Slashed(faultId, role, account, ofLeaving, ofStaked);
        token.safeTransfer(treasury, taken);
    }

    /// @notice Ask the evaluators for a score: commitments until `commitBy`, reveals until `revealBy`.
    /// @param minStake the least stake that is heard
    function openRound(bytes32 salt, uint64 commitBy, uint64 revealBy, uint96 minStake) external returns (bytes32 id) {
        id = roundId(msg.sender, salt);
        require(_rounds[id].commitBy == 0, RoundKnown(id));
        (uint64 time, uint64 latest) = (uint64(block.timestamp), uint64(block.timestamp) + MAX_ROUND);
        require(
            time < commitBy && commitBy < revealBy && revealBy <= latest,
            DeadlinesInvalid(commitBy, revealBy, time, latest)
        );
        require(minStake != 0, ZeroAmount());
        _rounds[id] = Round(commitBy, revealBy, minStake, 0, 0, false);
        emit RoundOpened(id, msg.sender, salt, commitBy, revealBy, minStake);
    }

    /// @notice Commit to a score. `seat` (from 1) is whom to displace once all seats are taken, else it is ignored.
    function commit(bytes32 id, bytes32 commitment, uint8 seat) external {
        Round storage round = _known(id);
        require(block.timestamp < round.commitBy, TooLate(id, round.commitBy, uint64(block.timestamp)));
        require(commitment != 0, ZeroHash());
        require(_voices[id][msg.sender].seat == 0, SeatTaken(id, msg.sender));
        uint96 weight = _positions[Role.Evaluator][msg.sender].staked;
        require(weight >= round.minStake, StakeTooSmall(msg.sender, weight, round.minStake));
        address displaced;
        if (round.seats < MAX_SEATS) {
            seat = ++round.seats;
        } else {
            displaced = _seats[id][seat];
            uint256 smaller = _voices[id][displaced].weight;
            require(displaced != address(0) && smaller < weight, SeatsFull(id, seat, smaller, weight));
            delete _voices[id][displaced];
        }
        _seats[id][seat] = msg.sender;
        _voices[id][msg.sender] = Voice(weight, 0, seat, false, commitment);
        emit Committed(id, msg.sender, seat, weight, commitment, displaced);
    }

    /// @notice Open the caller's commitment, after `commitBy` and before `revealBy`.
    function reveal(bytes32 id, uint96 score, bytes32 salt) external {
        Round storage round = _known(id);
        require(block.timestamp >= round.commitBy, TooEarly(id, round.commitBy, uint64(block.timestamp)));
        require(block.timestamp < round.revealBy, TooLate(id, round.revealBy, uint64(block.timestamp)));
        Voice storage voice = _voices[id][msg.sender];
        require(voice.commitment != 0, NothingToReveal(id, msg.sender));
        require(voice.commitment == commitmentOf(id, msg.sender, score, salt), CommitmentDiffers(id, msg.sender));
        uint96 staked = _positions[Role.Evaluator][msg.sender].staked;
        uint96 weight = staked < voice.weight ? staked : voice.weight;
        (voice.weight, voice.score, voice.revealed, voice.commitment) = (weight, score, true, 0);
        ++round.revealed;
        emit Revealed(id, msg.sender, score, weight);
    }

    /// @notice Give a round its result, which anyone may compute; it is checked in one pass.
    function closeRound(bytes32 id, uint96 median) external {
        Round storage round = _known(id);
        require(block.timestamp >= round.revealBy, TooEarly(id, round.revealBy, uint64(block.timestamp)));
        require(!round.closed, RoundClosed(id, _results[id].median));
        (uint256 below, uint256 upTo, uint256 total) = _weigh(id, round.seats, median);
        require(total != 0, NoScores(id));
        require(2 * below < total && total <= 2 * upTo, NotMedian(id, median, below, upTo, total));
        round.closed = true;
        _results[id] = Result(median, total.toUint160());
        emit RoundResult(id, median, total, round.revealed);
    }

    /// @inheritdoc IStake
    function stakeOf(Role role, address account) external view returns (uint256) {
        return _positions[role][account].staked;
    }

    /// @notice What an account holds in a role.
    function positionOf(Role role, address account) external view returns (Position memory) {
        return _positions[role][account];
    }

    /// @notice A round's terms; all zero if it was never opened.
    function roundOf(bytes32 id) external view returns (Round memory) {
        return _rounds[id];
    }

    /// @notice What an account said in a round; all zero if it has no seat.
    function voiceOf(bytes32 id, address account) external view returns (Voice memory) {
        return _voices[id][account];
    }

    /// @notice Who has a seat of a round, counted from 1.
    function seatOf(bytes32 id, uint256 seat) external view returns (address) {
        return _seats[id][seat];
    }

    /// @notice What came of a round, with the weight that was heard; refused until it is closed.
    function resultOf(bytes32 id) external view returns (Result memory) {
        Round storage round = _known(id);
        require(round.closed, TooEarly(id, round.revealBy, uint64(block.timestamp)));
        return _results[id];
    }

    /// @notice The id of the round that `opener` opens with `salt`.
    function roundId(address opener, bytes32 salt) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), opener, salt));
    }

    /// @notice What `account` commits to in round `id`.
    function commitmentOf(bytes32 id, address account, uint96 score, bytes32 salt) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), id, account, score, salt));
    }

    /// @notice The nonce of the authorisation that puts down a stake.
    function stakeNonce(Role role, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(role, salt));
    }

    function _stake(Role role, address account, uint96 amount) private {
        require(role != Role.None, RoleRequired());
        require(amount != 0, ZeroAmount());
        _positions[role][account].staked += amount;
        totalStake[role] += amount;
        totalHeld += amount;
        emit Staked(role, account, amount);
    }

    function _weigh(bytes32 id, uint256 seats, uint96 median)
        private
        view
        returns (uint256 below, uint256 upTo, uint256 total)
    {
        for (uint256 seat = 1; seat <= seats; ++seat) {
            Voice storage voice = _voices[id][_seats[id][seat]];
            if (!voice.revealed) continue;
            (uint256 weight, uint96 score) = (voice.weight, voice.score);
            total += weight;
            if (score <= median) upTo += weight;
            if (score < median) below += weight;
        }
    }

    function _known(bytes32 id) private view returns (Round storage round) {
        round = _rounds[id];
        require(round.commitBy != 0, RoundUnknown(id));
    }
}
