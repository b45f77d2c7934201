// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ICollector} from "./ICollector.sol";

/// @title One-way payment channels, as x402's scheme `batch-settlement` has them
/// @notice A payer deposits once and then pays call by call with vouchers: signatures over a sum that only grows. The
/// receiver claims the newest voucher of many channels in one transaction and takes the money of all in one transfer.
/// @dev No owner, no constructor and no immutables: the runtime code stands at x402's address from a chain's first
/// block. The chain's id is read at each use, so that after a fork no signature of one chain counts on the other.
/// Of every token the hub holds at least the sum over channels of `balance - totalClaimed` and over receivers of
/// `totalClaimed - totalSettled`.
contract Channels is Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice What a channel is: its id is the EIP-712 digest of this, so nothing in it can change.
    struct ChannelConfig {
        address payer;
        address payerAuthorizer;
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        bytes32 salt;
    }

    /// @notice The payer's word: of this channel, up to this much in all may be claimed.
    struct Voucher {
        ChannelConfig channel;
        uint128 maxClaimableAmount;
    }

    /// @notice A signed voucher, and the total that the receiver claims by it.
    struct VoucherClaim {
        Voucher voucher;
        bytes signature;
        uint128 totalClaimed;
    }

    /// @notice `balance` is what was deposited less what went back; `totalClaimed` of it belongs to the receiver.
    struct Channel {
        uint128 balance;
        uint128 totalClaimed;
    }

    /// @notice An exit that the payer's side announced; `initiatedAt` 0 is none.
    struct Withdrawal {
        uint128 amount;
        uint40 initiatedAt;
    }

    /// @notice What a receiver's claims of one token come to, and how much of it was paid out.
    struct Receiver {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    /// @notice The least and the most seconds between announcing an exit and taking the money.
    uint40 public constant MIN_WITHDRAW_DELAY = 900;
    uint40 public constant MAX_WITHDRAW_DELAY = 2_592_000;

    string private constant _NAME = "x402 Batch Settlement";
    string private constant _VERSION = "1";
    bytes32 private constant _DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant _CHANNEL_TYPE = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    bytes32 private constant _VOUCHER_TYPE = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    bytes32 private constant _REFUND_TYPE = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
    bytes32 private constant _ENTRY_TYPE =
        keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)");
    bytes32 private constant _BATCH_TYPE = keccak256(
        "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
    );

    /// @notice The state of a channel.
    mapping(bytes32 channelId => Channel) public channels;
    /// @notice The announced exit of a channel.
    mapping(bytes32 channelId => Withdrawal) public pendingWithdrawals;
    /// @notice What was claimed for a receiver in one token, and what was paid out.
    mapping(address receiver => mapping(address token => Receiver)) public receivers;
    /// @notice The nonce that the next signed refund of a channel must have; every refund uses one up.
    mapping(bytes32 channelId => uint256) public refundNonce;

    /// @notice A channel needs a payer, a receiver, a receiver's authorizer and a token; none may be the zero address.
    error ZeroAddress(address payer, address receiver, address receiverAuthorizer, address token);
    /// @notice The withdraw delay is outside the allowed seconds.
    error WithdrawDelayOutOfRange(uint40 given, uint40 least, uint40 most);
    /// @notice The amount must be more than zero.
    error ZeroAmount();
    /// @notice The hub did not receive exactly the amount; tokens that take a fee on transfers cannot be used.
    error ReceivedOther(address token, uint256 received, uint256 required);
    /// @notice The hub did not pay exactly the amount; tokens that take a fee on transfers cannot be used.
    error PaidOther(address token, uint256 paid, uint256 required);
    /// @notice A batch of claims must have a row.
    error NoClaims();
    /// @notice Only the receiver or its authorizer may do this.
    error NotReceiver(address caller, address receiver, address receiverAuthorizer);
    /// @notice Only the payer or its authorizer may do this.
    error NotPayer(address caller, address payer, address payerAuthorizer);
    /// @notice All rows of a signed batch must have the same receiver's authorizer.
    error OtherAuthorizer(bytes32 channelId, address given, address required);
    /// @notice The signature is not the receiver's authorizer's over exactly this.
    error InvalidAuthorizerSignature(address receiverAuthorizer, bytes32 digest);
    /// @notice The voucher's signature is not the payer's side's over this channel and this amount.
    error InvalidVoucher(bytes32 channelId, uint128 maxClaimableAmount);
    /// @notice More is claimed than the voucher allows.
    error ExceedsVoucher(bytes32 channelId, uint128 totalClaimed, uint128 maxClaimableAmount);
    /// @notice More is claimed than the channel holds; leave this row out of the batch.
    error ExceedsBalance(bytes32 channelId, uint128 totalClaimed, uint128 balance);
    /// @notice The refund's nonce must be the channel's next.
    error WrongRefundNonce(bytes32 channelId, uint256 given, uint256 required);
    /// @notice More is asked for than what is deposited and not claimed.
    error ExceedsFree(bytes32 channelId, uint128 given, uint128 free);
    /// @notice An exit from this channel is announced already; it can be finalized from this time on.
    error WithdrawalPending(bytes32 channelId, uint256 finalizableAt);
    /// @notice No exit from this channel is announced.
    error NoWithdrawal(bytes32 channelId);
    /// @notice The withdraw delay has not passed yet.
    error WithdrawDelayRunning(bytes32 channelId, uint256 finalizableAt, uint256 time);

    /// @notice The first money came into a channel that had none: here is what it consists of.
    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
    /// @notice `amount` came into the channel, which now has `balance`.
    event Deposited(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed receiver,
        address token,
        uint128 amount,
        uint128 balance
    );
    /// @notice `amount` of the payer's money became the receiver's; `total` is the channel's sum of such amounts.
    event Claimed(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed receiver,
        address token,
        uint128 amount,
        uint128 total
    );
    /// @notice All claimed money of a receiver was paid out to it.
    event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
    /// @notice The payer's side wants `amount` back and may take it from `finalizableAt` on: claim before.
    event WithdrawInitiated(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed receiver,
        uint128 amount,
        uint256 finalizableAt
    );
    /// @notice An announced exit ended; `amount` went back to the payer and nothing is announced any more.
    event Withdrawn(
        bytes32 indexed channelId, address indexed payer, address indexed receiver, uint128 amount, uint128 balance
    );
    /// @notice The receiver's side gave `amount` back, 0 if nothing was free. An announced exit is less by so much, and
    /// over if nothing is left of it. The next signed refund must have `nextNonce`.
    event Refunded(
        bytes32 indexed channelId,
        address indexed payer,
        address indexed receiver,
        uint128 amount,
        uint128 balance,
        uint256 nextNonce
    );

    /// @notice Bring `amount` of the payer's money into a channel; anyone may send it.
    /// @dev `collector` can be any contract: what counts is what the hub has received when it returns.
    function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData)
        external
        nonReentrant
    {
        require(amount != 0, ZeroAmount());
        _checkConfig(config);
        bytes32 id = _channelId(_domain(), config);
        Channel storage channel = channels[id];
        uint128 balance = channel.balance + amount;
        // Nothing is claimed where nothing is left.
        if (balance == amount) emit ChannelCreated(id, config);
        channel.balance = balance;
        emit Deposited(id, config.payer, config.receiver, config.token, amount, balance);
        IERC20 token = IERC20(config.token);
        uint256 held = token.balanceOf(address(this));
        ICollector(collector).collect(config.payer, config.token, amount, id, collectorData);
        uint256 received = token.balanceOf(address(this)) - held;
        require(received == amount, ReceivedOther(config.token, received, amount));
    }

    /// @notice Claim by vouchers, as the receiver or its authorizer. Moves no money: `settle` does.
    /// @dev A row whose total was reached already is passed over, so that a batch may be sent again.
    function claim(VoucherClaim[] calldata voucherClaims) external nonReentrant {
        require(voucherClaims.length != 0, NoClaims());
        bytes32 domain = _domain();
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            _checkReceiver(row.voucher.channel);
            _claim(domain, _channelId(domain, row.voucher.channel), row);
        }
    }

    /// @notice Claim by vouchers; anyone may send what the receiver's authorizer, the same in all rows, signed.
    /// @dev The signature over the batch is checked when its digest is complete; a wrong one undoes the rows.
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external
        nonReentrant
    {
        require(voucherClaims.length != 0, NoClaims());
        bytes32 domain = _domain();
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            bytes32 id = _channelId(domain, row.voucher.channel);
            address given = row.voucher.channel.receiverAuthorizer;
            require(given == authorizer, OtherAuthorizer(id, given, authorizer));
            entries[i] = _entryHash(id, row.voucher.maxClaimableAmount, row.totalClaimed);
            _claim(domain, id, row);
        }
        _checkAuthorizer(authorizer, _batchDigest(domain, entries), authorizerSignature);
    }

    /// @notice Pay a receiver all that was claimed for it in one token; anyone may send it. Does nothing if that is 0.
    function settle(address receiver, address token) external nonReentrant {
        Receiver storage account = receivers[receiver][token];
        uint128 claimed = account.totalClaimed;
        uint128 amount = claimed - account.totalSettled;
        if (amount == 0) return;
        account.totalSettled = claimed;
        emit Settled(receiver, token, msg.sender, amount);
        _pay(token, receiver, amount);
    }

    /// @notice Announce an exit, as the payer or its authorizer: `amount` can be taken after the withdraw delay.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        bytes32 id = _channelId(_domain(), config);
        _checkPayer(config);
        require(amount != 0, ZeroAmount());
        Withdrawal storage pending = pendingWithdrawals[id];
        require(pending.initiatedAt == 0, WithdrawalPending(id, uint256(pending.initiatedAt) + config.withdrawDelay));
        uint128 free = channels[id].balance - channels[id].totalClaimed;
        require(amount <= free, ExceedsFree(id, amount, free));
        (pending.amount, pending.initiatedAt) = (amount, uint40(block.timestamp));
        emit WithdrawInitiated(id, config.payer, config.receiver, amount, block.timestamp + config.withdrawDelay);
    }

    /// @notice Take what was announced, or what is left of it after the claims since, back to the payer.
    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        bytes32 id = _channelId(_domain(), config);
        _checkPayer(config);
        Withdrawal memory pending = pendingWithdrawals[id];
        require(pending.initiatedAt != 0, NoWithdrawal(id));
        uint256 finalizableAt = uint256(pending.initiatedAt) + config.withdrawDelay;
        require(block.timestamp >= finalizableAt, WithdrawDelayRunning(id, finalizableAt, block.timestamp));
        delete pendingWithdrawals[id];
        (uint128 amount, uint128 balance) = _takeFree(id, pending.amount);
        emit Withdrawn(id, config.payer, config.receiver, amount, balance);
        _pay(config.token, config.payer, amount);
    }

    /// @notice Give up to `amount` of what is not claimed back to the payer, as the receiver or its authorizer.
    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        _checkReceiver(config);
        _refund(_channelId(_domain(), config), config, amount);
    }

    /// @notice Give back by the signature of the receiver's authorizer; anyone may send it.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 domain = _domain();
        bytes32 id = _channelId(domain, config);
        require(nonce == refundNonce[id], WrongRefundNonce(id, nonce, refundNonce[id]));
        bytes32 digest = _refundDigest(domain, id, nonce, amount);
        _checkAuthorizer(config.receiverAuthorizer, digest, receiverAuthorizerSignature);
        _refund(id, config, amount);
    }

    /// @notice The id of a channel on this chain.
    function getChannelId(ChannelConfig calldata config) external view returns (bytes32) {
        return _channelId(_domain(), config);
    }

    /// @notice What the payer's side signs to pay.
    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) external view returns (bytes32) {
        return _voucherDigest(_domain(), channelId, maxClaimableAmount);
    }

    /// @notice What the receiver's authorizer signs to give back.
    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) external view returns (bytes32) {
        return _refundDigest(_domain(), channelId, nonce, amount);
    }

    /// @notice What the receiver's authorizer signs to claim.
    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) external view returns (bytes32) {
        bytes32 domain = _domain();
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        for (uint256 i = 0; i < voucherClaims.length; ++i) {
            VoucherClaim calldata row = voucherClaims[i];
            bytes32 id = _channelId(domain, row.voucher.channel);
            entries[i] = _entryHash(id, row.voucher.maxClaimableAmount, row.totalClaimed);
        }
        return _batchDigest(domain, entries);
    }

    /// @notice The EIP-712 domain, as ERC-5267 has it.
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        return (hex"0f", _NAME, _VERSION, block.chainid, address(this), 0, new uint256[](0));
    }

    function _claim(bytes32 domain, bytes32 id, VoucherClaim calldata row) private {
        Channel storage channel = channels[id];
        (uint128 before, uint128 total) = (channel.totalClaimed, row.totalClaimed);
        if (total <= before) return;
        uint128 most = row.voucher.maxClaimableAmount;
        require(total <= most, ExceedsVoucher(id, total, most));
        require(total <= channel.balance, ExceedsBalance(id, total, channel.balance));
        ChannelConfig calldata config = row.voucher.channel;
        _checkVoucher(config, _voucherDigest(domain, id, most), row.signature, id, most);
        channel.totalClaimed = total;
        uint128 amount = total - before;
        receivers[config.receiver][config.token].totalClaimed += amount;
        emit Claimed(id, config.payer, config.receiver, config.token, amount, total);
    }

    function _refund(bytes32 id, ChannelConfig calldata config, uint128 amount) private {
        require(amount != 0, ZeroAmount());
        uint256 nextNonce = ++refundNonce[id];
        uint128 balance;
        (amount, balance) = _takeFree(id, amount);
        uint128 announced = pendingWithdrawals[id].amount;
        if (announced > amount) pendingWithdrawals[id].amount = announced - amount;
        else if (announced != 0) delete pendingWithdrawals[id];
        emit Refunded(id, config.payer, config.receiver, amount, balance, nextNonce);
        _pay(config.token, config.payer, amount);
    }

    /// @dev Lessens a channel by `amount`, or by what is deposited and not claimed if that is less.
    function _takeFree(bytes32 id, uint128 amount) private returns (uint128 taken, uint128 balance) {
        Channel storage channel = channels[id];
        balance = channel.balance;
        uint128 free = balance - channel.totalClaimed;
        taken = amount < free ? amount : free;
        balance -= taken;
        channel.balance = balance;
    }

    function _pay(address token, address to, uint256 amount) private {
        if (amount == 0) return;
        uint256 held = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransfer(to, amount);
        uint256 paid = held - IERC20(token).balanceOf(address(this));
        require(paid == amount, PaidOther(token, paid, amount));
    }

    function _checkReceiver(ChannelConfig calldata config) private view {
        require(
            msg.sender == config.receiver || msg.sender == config.receiverAuthorizer,
            NotReceiver(msg.sender, config.receiver, config.receiverAuthorizer)
        );
    }

    function _checkPayer(ChannelConfig calldata config) private view {
        require(
            msg.sender == config.payer || msg.sender == config.payerAuthorizer,
            NotPayer(msg.sender, config.payer, config.payerAuthorizer)
        );
    }

    function _checkAuthorizer(address authorizer, bytes32 digest, bytes calldata signature) private view {
        require(
            SignatureChecker.isValidSignatureNowCalldata(authorizer, digest, signature),
            InvalidAuthorizerSignature(authorizer, digest)
        );
    }

    /// @dev A named authorizer is a key; without one, the payer signs, who may be a contract (ERC-1271).
    function _checkVoucher(
        ChannelConfig calldata config,
        bytes32 digest,
        bytes calldata signature,
        bytes32 id,
        uint128 most
    ) private view {
        address authorizer = config.payerAuthorizer;
        bool valid;
        if (authorizer == address(0)) {
            valid = SignatureChecker.isValidSignatureNowCalldata(config.payer, digest, signature);
        } else {
            (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
            valid = signer == authorizer;
        }
        require(valid, InvalidVoucher(id, most));
    }

    function _checkConfig(ChannelConfig calldata config) private pure {
        require(
            config.payer != address(0) && config.receiver != address(0) && config.receiverAuthorizer != address(0)
                && config.token != address(0),
            ZeroAddress(config.payer, config.receiver, config.receiverAuthorizer, config.token)
        );
        uint40 delay = config.withdrawDelay;
        require(
            delay >= MIN_WITHDRAW_DELAY && delay <= MAX_WITHDRAW_DELAY,
            WithdrawDelayOutOfRange(delay, MIN_WITHDRAW_DELAY, MAX_WITHDRAW_DELAY)
        );
    }

    function _domain() private view returns (bytes32) {
        return keccak256(
            abi.encode(_DOMAIN_TYPE, keccak256(bytes(_NAME)), keccak256(bytes(_VERSION)), block.chainid, address(this))
        );
    }

    /// @dev In place of abi.encode, which would copy and check field by field: a claim computes this for each row. Where
    /// a field with dirty high bits could matter it is read again, and Solidity refuses it then.
    function _channelId(bytes32 domain, ChannelConfig calldata config) private pure returns (bytes32) {
        bytes32 typeHash = _CHANNEL_TYPE;
        bytes32 structHash;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 0x20), config, 0xe0)
            structHash := keccak256(free, 0x100)
        }
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    function _voucherDigest(bytes32 domain, bytes32 id, uint256 most) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, _hash4(_VOUCHER_TYPE, id, most, 0, 0x60));
    }

    function _entryHash(bytes32 id, uint256 most, uint256 total) private pure returns (bytes32) {
        return _hash4(_ENTRY_TYPE, id, most, total, 0x80);
    }

    function _refundDigest(bytes32 domain, bytes32 id, uint256 nonce, uint128 amount) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(_REFUND_TYPE, id, nonce, amount)));
    }

    /// @dev The hash of the first `size` bytes of four words, without allocating memory.
    function _hash4(bytes32 a, bytes32 b, uint256 c, uint256 d, uint256 size) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, a)
            mstore(add(free, 0x20), b)
            mstore(add(free, 0x40), c)
            mstore(add(free, 0x60), d)
            hash := keccak256(free, size)
        }
    }

    function _batchDigest(bytes32 domain, bytes32[] memory entries) private pure returns (bytes32) {
        bytes32 batch = keccak256(abi.encode(_BATCH_TYPE, keccak256(abi.encodePacked(entries))));
        return MessageHashUtils.toTypedDataHash(domain, batch);
    }
}
