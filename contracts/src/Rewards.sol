// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IBonds} from "./IBonds.sol";
import {IDaoToken} from "./IDaoToken.sol";
import {IPayToken} from "./IPayToken.sol";
import {IRegistry} from "./IRegistry.sol";
import {IRewards} from "./IRewards.sol";
import {Leaf} from "./Leaf.sol";
import {Money} from "./Money.sol";
import {Operated} from "./Operated.sol";
import {Owned} from "./Owned.sol";

/// @title Payouts of one data DAO
/// @notice Each turn has three roots: payouts over cumulative amounts of money, slashes over its bonds, and issues over
/// cumulative amounts of the DAO's token. They wait a challenge window behind a bond, then anyone makes them final;
/// from there on anyone may send a claim, which pays the account in the leaf.
///
/// Definitions, in atomic units:
///   funded     what the treasury paid in for pools, less what went back
///   owed(t)    what the roots up to turn t owe, paid out or not; owed = owed(newest turn)
///   issued(t)  what the roots up to turn t issue of the DAO's token
///   claimed(a) what account a was paid over all turns
/// Always: owed <= funded; sum of claimed + balance >= funded; claimed(a) never falls; money leaves to accounts that a
/// final root names, or back to the treasury. No bond is held here, so no root, however wrong, can touch one. While the
/// leaves of each root that became final sum to what it owes, and none that was paid from is disabled, the sum of
/// claimed <= owed(final turn), and every claim can be paid.
///
/// @dev A claim reads one slot, the root of the newest final turn; which turn that is says the leaf. There are no running
/// totals of claims, because the balance is one. A single call refuses what is done already; a batch leaves it out, so
/// that nobody spoils a batch by sending one of its rows first.
contract Rewards is IRewards, Owned, Operated, ReentrancyGuardTransient {
    using SafeERC20 for IPayToken;
    using Money for IPayToken;
    using SafeCast for uint256;

    /// @notice The longest challenge window, in seconds.
    uint64 public constant MAX_WINDOW = 30 days;

    /// @notice What the roots of a turn say, and how far they are on the way to being final.
    struct Root {
        bytes32 payoutRoot;
        bytes32 slashRoot;
        bytes32 tokenRoot;
        bytes32 publicHash;
        uint128 owed;
        uint128 issued;
        address poster;
        uint64 finalAt;
        address challenger;
        uint64 disputedAt;
    }

    /// @dev The operator's words about a turn.
    struct Posting {
        bytes32 payoutRoot;
        bytes32 slashRoot;
        bytes32 tokenRoot;
        uint256 pool;
        uint256 paid;
        uint256 issued;
        bytes32 publicHash;
    }

    /// @notice The money of payouts.
    IPayToken public immutable token;
    /// @notice Funds the pools.
    address public immutable treasury;
    /// @notice Holds the bonds of posters and challengers.
    IBonds public immutable bonds;
    /// @notice The DAO's own token, whose supply rule bounds what a turn issues.
    IDaoToken public immutable daoToken;
    /// @notice Seconds from posting a root until it can be made final.
    uint64 public immutable challengeWindow;
    /// @notice What the poster of a root puts down, and who disputes it too.
    uint256 public immutable rootBond;

    /// @notice The payout root that claims are proven against: that of the newest final turn.
    bytes32 public finalRoot;
    /// @notice The newest final turn, 0 before the first.
    uint64 public finalTurn;
    /// @notice The newest turn whose roots stand, 0 before the first.
    uint64 public lastTurn;
    /// @notice What the treasury paid in for pools, less what went back.
    uint256 public totalFunded;
    /// @notice What an account has been paid so far; it never falls.
    mapping(address account => uint256 amount) public claimed;

    /// @dev Those after `lastTurn` were taken away and count for nothing.
    mapping(uint64 turn => Root) private _roots;

    /// @notice The challenge window is outside the allowed seconds.
    error WindowOutOfBounds(uint64 given, uint64 least, uint64 most);
    /// @notice Only the treasury funds pools.
    error NotTreasury(address caller, address treasury);
    /// @notice The amount must be more than zero.
    error ZeroAmount();
    /// @notice Roots are posted one turn after another, without a gap, each once.
    error TurnOutOfOrder(uint64 turn, uint64 required);
    /// @notice The root pays more than its pool.
    error PaysMoreThanPool(uint256 paid, uint256 pool);
    /// @notice The pools funded so far do not cover what would be owed.
    error NotFunded(uint256 owed, uint256 funded);
    /// @notice The turn would issue more of the DAO's token than the supply rule allows.
    error IssuesTooMuch(uint64 turn, uint256 issued, uint256 issuable);
    /// @notice This turn has no root.
    error RootUnknown(uint64 turn, uint64 lastTurn);
    /// @notice The root's challenge window is still open.
    error WindowOpen(uint64 turn, uint64 finalAt, uint64 time);
    /// @notice The root's challenge window has passed.
    error WindowOver(uint64 turn, uint64 finalAt, uint64 time);
    /// @notice The root is final already.
    error AlreadyFinal(uint64 turn, uint64 finalTurn);
    /// @notice The root is under dispute.
    error UnderDispute(uint64 turn, address challenger);
    /// @notice The root is not under dispute.
    error NotDisputed(uint64 turn);
    /// @notice Claims are made against the newest final root.
    error NotNewestRoot(uint64 turn, uint64 newest);
    /// @notice The proof does not lead from this leaf to the turn's root.
    error ProofInvalid(uint64 turn, bytes32 leaf, bytes32 root);
    /// @notice The account has been paid this cumulative amount already.
    error NothingToClaim(address account, uint256 cumulative, uint256 claimed);
    /// @notice The arrays of a batch must have the same length.
    error LengthMismatch(uint256 accounts, uint256 cumulatives, uint256 proofs);
    /// @notice More than what is funded and not owed.
    error ExceedsUnowed(uint256 amount, uint256 unowed);

    event PoolFunded(uint64 indexed turn, uint256 amount);
    event UnowedReturned(uint256 amount);
    event RootPosted(
        uint64 indexed turn,
        bytes32 payoutRoot,
        bytes32 slashRoot,
        bytes32 tokenRoot,
        uint256 pool,
        uint256 paid,
        uint256 issued,
        bytes32 publicHash,
        address poster,
        uint64 finalAt
    );
    event Disputed(uint64 indexed turn, address indexed challenger, bytes32 claimedRoot);
    event Resolved(uint64 indexed turn, address indexed challenger, bool rootWasWrong, uint64 finalAt);
    event RootFinal(uint64 indexed turn, bytes32 payoutRoot);
    event RootsDisabled(uint64 indexed turn, uint64 lastTurn, bytes32 payoutRoot);
    event Claimed(uint64 indexed turn, address indexed account, uint256 amount, uint256 cumulative);

    constructor(
        address owner_,
        IRegistry registry_,
        IPayToken token_,
        address treasury_,
        IBonds bonds_,
        IDaoToken daoToken_,
        uint64 challengeWindow_,
        uint256 rootBond_
    ) Owned(owner_) Operated(registry_) {
        require(
            challengeWindow_ != 0 && challengeWindow_ <= MAX_WINDOW, WindowOutOfBounds(challengeWindow_, 1, MAX_WINDOW)
        );
        token = token_;
        treasury = treasury_;
        bonds = bonds_;
        daoToken = daoToken_;
        challengeWindow = challengeWindow_;
        rootBond = rootBond_;
    }

    /// @inheritdoc IRewards
    function fund(uint64 turn, uint256 amount) external nonReentrant {
        require(msg.sender == treasury, NotTreasury(msg.sender, treasury));
        totalFunded += amount;
        emit PoolFunded(turn, amount);
        token.take(msg.sender, amount);
    }

    /// @notice Send what is funded and not owed (dust, or a pool that was not spent) back to the treasury.
    function returnUnowed(uint256 amount) external onlyOwner nonReentrant {
        uint256 unowed = totalFunded - totalOwed();
        require(amount != 0, ZeroAmount());
        require(amount <= unowed, ExceedsUnowed(amount, unowed));
        totalFunded -= amount;
        emit UnowedReturned(amount);
        token.safeTransfer(treasury, amount);
    }

    /// @notice Post the roots of `turn`, which can be made final when the challenge window has passed without a dispute.
    /// The roots of the turn before are made final by the same act.
    /// @param pool what there was to split
    /// @param paid what this turn adds to all cumulative payouts together
    /// @param issued what this turn adds to all cumulative amounts of the DAO's token together
    /// @param publicHash the hash of the turn's public file, from which everyone can rebuild the three trees
    function postRoot(
        uint64 turn,
        bytes32 payoutRoot,
        bytes32 slashRoot,
        bytes32 tokenRoot,
        uint256 pool,
        uint256 paid,
        uint256 issued,
        bytes32 publicHash
    ) external onlyOperator nonReentrant {
        _post(turn, Posting(payoutRoot, slashRoot, tokenRoot, pool, paid, issued, publicHash));
        _takeRootBond();
    }

    /// @notice Dispute the roots of `turn` within the window, with the same bond as the poster's. The clock stops.
    /// @param claimedRoot the payout root that the challenger recomputed
    function dispute(uint64 turn, bytes32 claimedRoot) external nonReentrant {
        Root storage root = _undecided(turn);
        require(root.challenger == address(0), UnderDispute(turn, root.challenger));
        require(block.timestamp < root.finalAt, WindowOver(turn, root.finalAt, uint64(block.timestamp)));
        root.challenger = msg.sender;
        root.disputedAt = uint64(block.timestamp);
        emit Disputed(turn, msg.sender, claimedRoot);
        _takeRootBond();
    }

    /// @notice Decide a dispute; the loser's bond goes to the winner. Wrong roots are taken away and the turn can be
    /// posted again; right ones get the rest of their window, so that another challenger is not shut out.
    function resolve(uint64 turn, bool rootWasWrong) external onlyOwner nonReentrant {
        Root storage root = _undecided(turn);
        (address poster, address challenger) = (root.poster, root.challenger);
        require(challenger != address(0), NotDisputed(turn));
        uint64 finalAt;
        if (rootWasWrong) {
            lastTurn = turn - 1;
        } else {
            finalAt = root.finalAt + uint64(block.timestamp) - root.disputedAt;
            (root.finalAt, root.challenger, root.disputedAt) = (finalAt, address(0), 0);
        }
        emit Resolved(turn, challenger, rootWasWrong, finalAt);
        if (rootWasWrong) _creditRootBond(challenger, 2 * rootBond);
        else _creditRootBond(poster, rootBond);
    }

    /// @notice Make the roots of `turn` final when their window has passed without a dispute. Anyone may send it.
    function finalize(uint64 turn) external nonReentrant {
        _finalize(turn);
    }

    /// @notice Take away the roots of `turn` and of all turns after it, final or not: they were wrong, or nobody can get
    /// at what they were made from. Claims go on against the last root that still stands; what was paid stays paid.
    /// The bond behind roots that were not final yet goes to their challenger, else to the treasury.
    function disable(uint64 turn) external onlyOwner nonReentrant {
        uint64 last = lastTurn;
        require(turn != 0 && turn <= last, RootUnknown(turn, last));
        bool undecided = last > finalTurn;
        address challenger = _roots[last].challenger;
        bytes32 standing = _roots[turn - 1].payoutRoot;
        lastTurn = turn - 1;
        if (finalTurn >= turn) {
            finalTurn = turn - 1;
            finalRoot = standing;
        }
        emit RootsDisabled(turn, last, finalRoot);
        if (!undecided) return;
        if (challenger == address(0)) _creditRootBond(treasury, rootBond);
        else _creditRootBond(challenger, 2 * rootBond);
    }

    /// @notice Pay `account` what it has not been paid of `cumulative`, proven by the newest final root.
    /// Anyone may send it; the money goes to the account in the leaf.
    function claim(uint64 turn, address account, uint256 cumulative, bytes32[] calldata proof) external nonReentrant {
        uint256 had = claimed[account];
        require(cumulative > had, NothingToClaim(account, cumulative, had));
        _claim(finalRoot, turn, account, cumulative, had, proof);
    }

    /// @notice Pay many accounts; those with nothing to claim are left out.
    function claimMany(
        uint64 turn,
        address[] calldata accounts,
        uint256[] calldata cumulatives,
        bytes32[][] calldata proofs
    ) external nonReentrant {
        require(
            accounts.length == cumulatives.length && accounts.length == proofs.length,
            LengthMismatch(accounts.length, cumulatives.length, proofs.length)
        );
        bytes32 root = finalRoot;
        for (uint256 i = 0; i < accounts.length; ++i) {
            uint256 had = claimed[accounts[i]];
            if (cumulatives[i] > had) _claim(root, turn, accounts[i], cumulatives[i], had, proofs[i]);
        }
    }

    /// @notice The roots of `turn`; all zero if none stand.
    function rootOf(uint64 turn) external view returns (Root memory root) {
        if (turn <= lastTurn) root = _roots[turn];
    }

    /// @notice Whether the roots of `turn` count.
    function isFinal(uint64 turn) external view returns (bool) {
        return turn != 0 && turn <= finalTurn;
    }

    /// @notice Whether `finalize(turn)` would make the roots of `turn` final now.
    function canFinalize(uint64 turn) external view returns (bool) {
        Root storage root = _roots[turn];
        return turn == lastTurn && turn > finalTurn && root.challenger == address(0) && block.timestamp >= root.finalAt;
    }

    /// @inheritdoc IRewards
    function finalSlashRoot(uint64 turn) external view returns (bytes32) {
        return turn <= finalTurn ? _roots[turn].slashRoot : bytes32(0);
    }

    /// @inheritdoc IRewards
    function finalTokenRoot(uint64 turn) external view returns (bytes32 root, uint64 newest, uint256 issued) {
        newest = finalTurn;
        if (turn <= newest) root = _roots[turn].tokenRoot;
        issued = _roots[newest].issued;
    }

    /// @notice The leaf of an account in the payout tree of `turn`.
    function payoutLeaf(uint64 turn, address account, uint256 cumulative) external view returns (bytes32) {
        return Leaf.ofAmount(turn, account, cumulative);
    }

    /// @notice What the standing roots owe, paid out or not.
    function totalOwed() public view returns (uint256) {
        return _roots[lastTurn].owed;
    }

    /// @notice What the standing roots issue of the DAO's token, minted or not.
    function totalIssued() public view returns (uint256) {
        return _roots[lastTurn].issued;
    }

    function _post(uint64 turn, Posting memory posting) private {
        uint64 last = lastTurn;
        require(turn == last + 1, TurnOutOfOrder(turn, last + 1));
        // Cumulative amounts build on the turn before, so that one must stand for good.
        if (last > finalTurn) _finalize(last);
        require(posting.paid <= posting.pool, PaysMoreThanPool(posting.paid, posting.pool));
        uint256 owed = totalOwed() + posting.paid;
        require(owed <= totalFunded, NotFunded(owed, totalFunded));
        uint256 issuable = daoToken.issuable(turn);
        require(posting.issued <= issuable, IssuesTooMuch(turn, posting.issued, issuable));
        uint64 finalAt = uint64(block.timestamp) + challengeWindow;
        _roots[turn] = Root({
            payoutRoot: posting.payoutRoot,
            slashRoot: posting.slashRoot,
            tokenRoot: posting.tokenRoot,
            publicHash: posting.publicHash,
            owed: owed.toUint128(),
            issued: (totalIssued() + posting.issued).toUint128(),
            poster: msg.sender,
            finalAt: finalAt,
            challenger: address(0),
            disputedAt: 0
        });
        lastTurn = turn;
        _emitPosted(turn, posting, finalAt);
    }

    function _emitPosted(uint64 turn, Posting memory posting, uint64 finalAt) private {
        emit RootPosted(
            turn,
            posting.payoutRoot,
            posting.slashRoot,
            posting.tokenRoot,
            posting.pool,
            posting.paid,
            posting.issued,
            posting.publicHash,
            msg.sender,
            finalAt
        );
    }

    function _finalize(uint64 turn) private {
        Root storage root = _undecided(turn);
        require(root.challenger == address(0), UnderDispute(turn, root.challenger));
        require(block.timestamp >= root.finalAt, WindowOpen(turn, root.finalAt, uint64(block.timestamp)));
        finalTurn = turn;
        finalRoot = root.payoutRoot;
        emit RootFinal(turn, root.payoutRoot);
        _creditRootBond(root.poster, rootBond);
    }

    function _claim(
        bytes32 root,
        uint64 turn,
        address account,
        uint256 cumulative,
        uint256 had,
        bytes32[] calldata proof
    ) private {
        bytes32 leaf = Leaf.ofAmount(turn, account, cumulative);
        if (!MerkleProof.verifyCalldata(proof, root, leaf)) _refuseProof(turn, leaf, root);
        claimed[account] = cumulative;
        emit Claimed(turn, account, cumulative - had, cumulative);
        token.safeTransfer(account, cumulative - had);
    }

    /// @dev Which of the reasons it is costs nothing where proofs are good.
    function _refuseProof(uint64 turn, bytes32 leaf, bytes32 root) private view {
        (uint64 last, uint64 newest) = (lastTurn, finalTurn);
        require(turn != 0 && turn <= last, RootUnknown(turn, last));
        if (turn > newest) {
            Root storage open = _roots[turn];
            require(open.challenger == address(0), UnderDispute(turn, open.challenger));
            revert WindowOpen(turn, open.finalAt, uint64(block.timestamp));
        }
        require(turn == newest, NotNewestRoot(turn, newest));
        revert ProofInvalid(turn, leaf, root);
    }

    function _takeRootBond() private {
        if (rootBond != 0) bonds.takeRootBond(msg.sender, rootBond);
    }

    function _creditRootBond(address to, uint256 amount) private {
        if (amount != 0) bonds.creditRootBond(to, amount);
    }

    /// @dev Only the newest turn can be undecided, because a turn is posted on a final one.
    function _undecided(uint64 turn) private view returns (Root storage root) {
        (uint64 last, uint64 newest) = (lastTurn, finalTurn);
        require(turn != 0 && turn <= last, RootUnknown(turn, last));
        require(turn > newest, AlreadyFinal(turn, newest));
        root = _roots[turn];
    }
}
